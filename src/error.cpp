#include "cyto/error.hpp"

#include <system_error>

namespace cyto {
namespace {

std::string join(const std::string& thing, const std::string& value, const std::string& cause,
                 const std::string& next) {
  std::string text = thing;
  if (!value.empty()) text += ": " + value;
  if (!cause.empty()) text += "; " + cause;
  if (!next.empty()) text += "; " + next;
  return text;
}

}  // namespace

error::error(error_code code, const std::string& thing, const std::string& value,
             const std::string& cause, const std::string& next)
    : std::runtime_error(join(thing, value, cause, next)), code_(code) {}

void throw_errno(int errno_value, error_code code, const std::string& thing,
                 const std::string& value, const std::string& next) {
  throw error(code, thing, value, std::generic_category().message(errno_value), next);
}

std::string bytes_text(unsigned long long bytes) {
  std::string digits = std::to_string(bytes);
  for (std::size_t at = digits.size(); at > 3; at -= 3) digits.insert(at - 3, 1, ',');
  return digits + " bytes";
}

}  // namespace cyto
