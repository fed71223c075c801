// A supervised system of ports alone, in a process and a runtime folder of its own.
//
//   ported_system system("name", {{"desk", 2}, {"clerk", 1}}, {{"desk", "clerk"}});
//   port desk = join("name", "desk");
//   system.drain();                    // and, once all ports let it:
//   EXPECT_EQ(system.end(), 0);
#pragma once

#include <poll.h>

#include <string>
#include <string_view>
#include <vector>

#include "cyto/cyto.hpp"
#include "rendezvous.hpp"
#include "support/actor.hpp"
#include "trees_generated.h"
#include "verbs.hpp"

namespace cyto::test {

struct port_group {
  const char* name;
  std::uint32_t count = 1;
};
struct port_lane {
  const char* from;
  const char* to;
  std::uint64_t lane_bytes = 1U << 16;
  full_policy policy = full_policy::defer;
};

inline topology ports_only(const std::string& name, const std::vector<port_group>& groups,
                           const std::vector<port_lane>& lanes) {
  topology out;
  out.name = name;
  out.shutdown_ms = 0;
  for (const port_group& each : groups) {
    worker_spec& made = out.workers.emplace_back();
    made.name = each.name;
    made.count = each.count;
    made.is_port = true;
    made.cells_bytes = 64 * 1024;
    made.quarantine_bytes = 0;
  }
  for (const port_lane& each : lanes) {
    lane_spec& made = out.lanes.emplace_back();
    made.from = each.from;
    made.to = each.to;
    made.lane_bytes = each.lane_bytes;
    made.policy = each.policy;
  }
  return out;
}

class ported_system {
 public:
  ported_system(const std::string& name, const std::vector<port_group>& groups,
                const std::vector<port_lane>& lanes)
      : name_(name), supervisor_([of = ports_only(name, groups, lanes)](const line& to_test) {
          supervisor system(of, {});
          to_test.say(1);
          for (;;) {
            system.step();
            if (system.is_quiet()) break;
            pollfd event{system.poll_fd(), POLLIN, 0};
            ::poll(&event, 1, -1);
          }
          system.stop();
        }) {
    if (supervisor_.hear() != 1) throw std::runtime_error("the supervisor does not run");
  }

  void drain() const {
    const file connection = connect_to(name_);
    packet reply{};
    std::vector<file> unwanted;
    if (!connection || !send_packet(connection.get(), {verb_stop, 0}, {}) ||
        !receive_packet(connection.get(), reply, unwanted, 100'000)) {
      throw std::runtime_error("the supervisor does not answer");
    }
    // It closes when that is done.
    pollfd closed{connection.get(), POLLRDHUP, 0};
    ::poll(&closed, 1, -1);
  }
  int end() { return supervisor_.end(); }
  [[nodiscard]] pid_t pid() const { return supervisor_.pid(); }
  void kill() { supervisor_.kill(); }

 private:
  std::string name_;
  actor supervisor_;
};

// A message with a number and so many bytes of text.
inline auto numbered(std::uint64_t number, std::size_t bytes = 8) {
  static const std::string letters(1U << 18, 'x');
  return [=](flatbuffers::FlatBufferBuilder& fbb) {
    return tree::CreateNode(fbb, number, fbb.CreateString(letters.data(), bytes));
  };
}

inline status send_number(port& from, turn_output& to, std::uint64_t number,
                          std::size_t bytes = 8) {
  return from.send<tree::Node>(to, numbered(number, bytes));
}

// The numbers of the messages there are.
inline std::vector<std::uint64_t> numbers_in(const port::batch& batch) {
  std::vector<std::uint64_t> out;
  for (const received& each : batch) {
    const auto* node = each.as<tree::Node>();
    out.push_back(node == nullptr ? 0 : node->number());
  }
  return out;
}

}  // namespace cyto::test
