#include "across/turns.hpp"

#include "across/cases.hpp"
#include "across/messages.hpp"

namespace cyto::bench {
namespace {

constexpr std::uint64_t lane_bytes = 64 << 10;
constexpr std::uint64_t long_lane_bytes = 1 << 20;

std::string ring_of(std::size_t bytes) { return "floor/ring/spin/" + std::to_string(bytes); }
std::string buffer_of(std::size_t bytes) { return "floor/buffer/spin/" + std::to_string(bytes); }

}  // namespace

void add_turns(std::vector<test_case>& to) {
  const std::string line = "floor/line/spin/48";
  const auto round = figure::round_p50;
  to.push_back({"turn", "raw", "spin", 48, round, line,
                rounds<turn_link<raw_message>>(std::size_t{48}, lane_bytes)});
  for (const std::size_t bytes : {96U, 248U, 1024U}) {
    to.push_back({"turn", "raw", "spin", bytes, round, ring_of(bytes == 96 ? 248 : bytes),
                  rounds<turn_link<raw_message>>(bytes, lane_bytes)});
  }
  to.push_back({"turn", "flatbuffer", "spin", 56, round, line,
                rounds<turn_link<built56>>(std::size_t{56}, lane_bytes)});
  to.push_back({"turn", "template", "spin", 56, round, line,
                rounds<turn_link<template56>>(std::size_t{56}, lane_bytes)});
  to.push_back({"turn", "flatbuffer", "spin", 248, round, ring_of(248),
                rounds<turn_link<built248>>(std::size_t{248}, lane_bytes)});
  to.push_back({"turn", "flatbuffer", "spin", 1024, round, ring_of(1024),
                rounds<turn_link<built_words>>(std::size_t{1024}, lane_bytes)});
  for (const std::size_t bytes : {std::size_t{64} << 10, std::size_t{1} << 20}) {
    to.push_back({"turn", "in_place", "spin", bytes, round, buffer_of(bytes),
                  rounds<turn_link<built_words>>(bytes, 4 * std::uint64_t{bytes})});
  }
  to.push_back({"turn",
                "glance",
                "spin",
                64,
                round,
                {},
                rounds<turn_link<glanced_words>>(std::size_t{64}, lane_bytes)});
  to.push_back({"turn", "glance", "spin", 1 << 20, round, "turn/glance/spin/64",
                rounds<turn_link<glanced_words>>(std::size_t{1} << 20, std::uint64_t{4} << 20)});
  to.push_back({"turn", "one_thread", "spin", 48, round, "lane/one_thread/spin/48",
                in_one_thread<turn_link<raw_message>>(std::size_t{48}, lane_bytes)});
  to.push_back({"turn", "one_way", "spin", 48, figure::per_second, "lane/one_way/spin/48",
                stream<turn_link<raw_message>>(std::size_t{48}, long_lane_bytes)});
  to.push_back(
      {"turn", "one_way_16", "spin", 48, figure::per_second, "lane/one_way/spin/48",
       stream<turn_link<raw_message>>(std::size_t{48}, long_lane_bytes, 0U, std::size_t{16})});
  // While somebody traces.
  to.push_back(
      {"turn", "traced", "spin", 48, round, "turn/raw/spin/48",
       rounds<turn_link<raw_message>>(std::size_t{48}, lane_bytes, 0U, std::size_t{1}, true)});
  to.push_back({"turn", "traced_one_thread", "spin", 48, round, "turn/one_thread/spin/48",
                in_one_thread<turn_link<raw_message>>(std::size_t{48}, lane_bytes, 0U,
                                                      std::size_t{1}, true)});
  to.push_back({"turn", "traced_one_way_16", "spin", 48, figure::per_second,
                "turn/one_way_16/spin/48",
                stream<turn_link<raw_message>>(std::size_t{48}, long_lane_bytes, 0U,
                                               std::size_t{16}, true)});
  to.push_back({"turn",
                "open_loop",
                "spin",
                56,
                figure::delay_p50,
                {},
                at_rate<turn_link<built56>>(100e3, std::size_t{56}, long_lane_bytes)});
}

void add_mailboxes(std::vector<test_case>& to) {
  for (const std::uint32_t lanes : {1U, 16U, 64U, 255U}) {
    to.push_back({"mailbox", "lanes_" + std::to_string(lanes), "spin", 48, figure::round_p50,
                  lanes == 1 ? "" : "mailbox/lanes_1/spin/48",
                  rounds<turn_link<raw_message>>(std::size_t{48}, lane_bytes, lanes - 1)});
  }
}

}  // namespace cyto::bench
