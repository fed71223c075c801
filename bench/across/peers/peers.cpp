#include "across/peers/peers.hpp"

#include <unistd.h>

#include "across/turns.hpp"
#include "across/wakes.hpp"

namespace cyto::bench {
namespace {

struct optional_peer {
  const char* name;
  void (*add)(std::vector<test_case>&);  // Null: it was not built.
};

// The build gives each of these either the function's name or nullptr.
constexpr std::array optional_peers = {
    optional_peer{"iceoryx", CYTO_PEER_ICEORYX},
    optional_peer{"zeromq", CYTO_PEER_ZEROMQ},
    optional_peer{"nng", CYTO_PEER_NNG},
    optional_peer{"moodycamel", CYTO_PEER_MOODYCAMEL},
    optional_peer{"readerwriterqueue", CYTO_PEER_READERWRITERQUEUE},
};

// What the others are compared with.
void add_cyto(std::vector<test_case>& to) {
  constexpr std::array<std::size_t, 4> sizes = {64, 1 << 10, posix_mq_largest, 64 << 10};
  const auto lane_of = [](std::size_t bytes) {
    return std::uint64_t{bytes > 1024 ? 256U : 64U} << 10;
  };
  for (const std::size_t bytes : sizes) {
    to.push_back(peer_case("cyto", waiting::spin, bytes,
                           rounds<turn_link<raw_message>>(bytes, lane_of(bytes))));
  }
  for (const std::size_t bytes : sizes) {
    to.push_back(
        peer_case("cyto", waiting::park, bytes, rounds<parked_link>(bytes, lane_of(bytes))));
  }
}

}  // namespace

std::string unused_name(const std::string& peer) {
  static int count = 0;
  return "cyto-bench-" + peer + "-" + std::to_string(getpid()) + "-" + std::to_string(++count);
}

std::vector<std::string> peers_missing() {
  std::vector<std::string> out;
  for (const optional_peer& each : optional_peers) {
    if (each.add == nullptr) out.emplace_back(each.name);
  }
  return out;
}

void add_peers(std::vector<test_case>& to) {
  add_cyto(to);
  add_descriptors(to);
  add_boost_message_queue(to);
  add_boost_spsc(to);
  for (const optional_peer& each : optional_peers) {
    if (each.add != nullptr) each.add(to);
  }
}

}  // namespace cyto::bench
