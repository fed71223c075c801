#include "support/behaviours.hpp"

namespace cyto::test {
namespace {

std::string padded(std::string text, std::size_t bytes) {
  text.resize(bytes, '.');
  return text;
}

}  // namespace

void one_to_one(world& in, const std::string& message) {
  in.add("total", 3);
  in.send(0, "a " + message);
}
void nothing(world&, const std::string&) {}
void cell_only(world& in, const std::string&) { in.add("other", 1); }
void two_to_one(world& in, const std::string& message) {
  in.send(0, "first " + message);
  in.send(0, std::string(100, '2') + message);
}
void other_lanes(world& in, const std::string& message) {
  in.send(1, "b " + message);
  in.send(2, std::string(700, 'c') + message);
  in.add("total", 5);
}
void large(world& in, const std::string& message) {
  in.send(0, std::string(2500, 'L') + message);
  in.insert("large", message);
}
void whole_lane(world& in, const std::string& message) {
  in.send(0, std::string(3800, 'W') + message);
  in.add("whole", 1);
}
void three_lines(world& in, const std::string& message) {
  in.send(0, std::string(150, '3') + message);
  in.send(1, std::string(130, '4') + message);
  in.add("three", 1);
}
void five_to_three(world& in, const std::string& message) {
  in.send(0, "1 " + message);
  in.send(1, std::string(2300, '2') + message);
  in.send(0, std::string(90, '3') + message);
  in.send(2, "4 " + message);
  in.send(1, "5 " + message);
  in.add("five", 1);
}
void new_shapes(world& in, const std::string& message) {
  in.send(0, padded("1 " + message, 120));
  in.send(1, padded("2 " + message, 184));
  in.send(0, padded("3 " + message, 184));
  in.send(0, padded("4 " + message, 248));
  in.add("shapes", 1);
}
void last_shape(world& in, const std::string& message) { in.send(0, padded(message, 248)); }
void set_and_cells(world& in, const std::string& message) {
  in.insert("names", message);
  in.add("new " + message, 1);
  in.insert("other names", "of " + message);
  in.send(0, message);
}
void in_two_turns(world& in, const std::string& message) {
  const bool is_second = in.value_of("halves") % 2 != 0;
  in.add("halves", 1);
  in.send(is_second ? 1 : 0, (is_second ? "second " : "first ") + message);
  if (!is_second) in.again();
}
void into_a_full_lane(world& in, const std::string& message) {
  in.add("total", 7);
  in.insert("names", message);
  in.send(0, "before " + message);
  in.send(1, std::string(600, 'f') + message);
}
void warm_up(world& in, const std::string& message) {
  for (std::size_t i = 0; i < sink_count; ++i) in.send(i, message);
  in.add("warm", 1);
}
void fill_indexes(world& in, const std::string& message) {
  for (int i = 0; i < 127; ++i) in.insert("names", message + std::to_string(i));
  for (int i = 0; i < 125; ++i) in.add("cell " + std::to_string(i), 1);  // With two others.
}
void fill_lane(world& in, const std::string& message) {
  for (int i = 0; i < 60; ++i) in.send(1, message);
}

}  // namespace cyto::test
