// What other libraries offer for the same job, under the same harness and with the same payload.
// Each row's floor is cyto's own row of that size and mode: its ratio says how many times as long
// as cyto the peer takes.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <vector>

#include "across/cases.hpp"

namespace cyto::bench {

// What an end does while there is nothing for it: it asks again and again, or sleeps in the kernel.
enum class waiting { spin, park };
inline constexpr std::array both_ways = {waiting::spin, waiting::park};

inline constexpr std::array<std::size_t, 3> peer_sizes = {64, 1 << 10, 64 << 10};
// The largest message of a POSIX queue, unless the administrator allowed more.
inline constexpr std::size_t posix_mq_largest = 8 << 10;

inline test_case peer_case(const std::string& name, waiting how, std::size_t bytes,
                           std::function<sample(const pace&)> run) {
  const std::string mode = how == waiting::spin ? "spin" : "park";
  std::string floor = name == "cyto" ? "" : "peers/cyto/" + mode + "/" + std::to_string(bytes);
  return {"peers", name, mode, bytes, figure::round_p50, std::move(floor), std::move(run)};
}

// Cases of a link that is made of a size and a way to wait.
template <class Link, std::size_t Count>
void add_peer(std::vector<test_case>& to, const std::string& name,
              const std::array<std::size_t, Count>& sizes) {
  for (const waiting how : both_ways) {
    for (const std::size_t bytes : sizes) {
      to.push_back(peer_case(name, how, bytes, rounds<Link>(bytes, how)));
    }
  }
}

// A name that no other process uses, for what must have one.
std::string unused_name(const std::string& peer);

// Those that were not there when this program was built.
std::vector<std::string> peers_missing();

// Always there: the kernel's own, and Boost's.
void add_descriptors(std::vector<test_case>& to);
void add_boost_message_queue(std::vector<test_case>& to);
void add_boost_spsc(std::vector<test_case>& to);
// There if their packages are; see bench/CMakeLists.txt.
void add_iceoryx(std::vector<test_case>& to);
void add_zeromq(std::vector<test_case>& to);
void add_nng(std::vector<test_case>& to);
void add_moodycamel(std::vector<test_case>& to);
void add_readerwriterqueue(std::vector<test_case>& to);

}  // namespace cyto::bench
