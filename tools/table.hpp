// The result of a job: every cell of a group of workers, one line each.
#pragma once

#include <string>

#include <cyto/cyto.hpp>

namespace cyto::tools {

// Where the result goes. Checked before any worker starts; what stands there is replaced only when
// the whole result has been written.
class table_output {
 public:
  // "-" is standard output. Throws cyto::error when it cannot be written.
  explicit table_output(std::string path);
  table_output(const table_output&) = delete;
  table_output& operator=(const table_output&) = delete;
  ~table_output();
  // Writes all of `text` and puts it in its place. Throws cyto::error; the old file then stands.
  void write(const std::string& text);

 private:
  void open_beside();
  [[noreturn]] void refuse(int reason) const;
  std::string path_;
  std::string
      partial_;  // Beside the target, renamed over it at the end; empty if written directly.
  int fd_ = -1;
  bool is_nameless_ = false;
};

// "value TAB name NEWLINE": by value downwards, then name in byte order. A set's value is its size.
std::string table_of(const segment& from, const std::string& group);

}  // namespace cyto::tools
