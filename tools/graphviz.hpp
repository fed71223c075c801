// Graphs drawn by graphviz's program `dot`, where that is installed.
#pragma once

#include <sys/types.h>

#include <string>

namespace cyto::tools {

class graphviz {
 public:
  // Starts it, out of reach of the terminal's signals. Throws cyto::error if it is not there.
  graphviz();
  graphviz(const graphviz&) = delete;
  graphviz& operator=(const graphviz&) = delete;
  // One that was given nothing to draw ends without a picture.
  ~graphviz();

  // Draws the graph, in its language, as SVG on standard output. Once. Throws if it does not work.
  void draw(const std::string& graph);

 private:
  int end() noexcept;

  pid_t pid_ = -1;
  int to_ = -1;
};

}  // namespace cyto::tools
