// What two programs say of themselves before one takes over from the other: an objection, or none.
#include "cyto/schema.hpp"
#include "fuzz/input.hpp"
#include "shapes_generated.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cyto;
  static const std::string known = program_line() + "\n" + message_schema<shape::Shape>();
  fuzz::input in(data, size);
  const auto which = in.take<std::uint8_t>();
  const std::string text(in.rest());
  const std::string said = (which & 1U) != 0 ? program_line() + "\n" + text : text;
  fuzz::keep(takeover_objection(known, said).size());
  fuzz::keep(takeover_objection(said, known).size());
  const std::size_t half = text.size() / 2;
  fuzz::keep(takeover_objection(text.substr(0, half), text.substr(half)).size());
  return 0;
}
