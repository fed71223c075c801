// A network whose messages say what they do to their worker: source -> worker -> sink. The sink
// counts each message in a cell of its own, so the table shows what was lost or doubled.
//
//   source: sends 1 to `count`; `poison` is "5=abort,9=throw": what message 5 and 9 do. Ends when
//           the file `hold` is not there.
//   worker: does what the message says, then passes it on.
#include <poll.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>

#include <cyto/cyto.hpp>

#include "update_generated.h"

namespace {

std::string text_of(const flatbuffers::Vector<std::uint8_t>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

cyto::status send(cyto::turn& in, cyto::turn_output& to, const std::string& name,
                  const std::string& deed) {
  return in.send<cyto::Update>(to, [&](flatbuffers::FlatBufferBuilder& fbb) {
    const auto bytes = [&fbb](const std::string& text) {
      return fbb.CreateVector(reinterpret_cast<const std::uint8_t*>(text.data()), text.size());
    };
    const auto first = bytes(name);
    return cyto::CreateUpdate(fbb, first, bytes(deed));
  });
}

void set_up_source(cyto::worker& self) {
  const auto next = self.cell<cyto::last_writer>("next");
  const std::uint64_t count = std::stoull(self.setting("count"));
  const std::string hold = self.setting("hold", "");
  std::map<std::uint64_t, std::string> deeds;
  std::istringstream list(self.setting("poison", ""));
  for (std::string each; std::getline(list, each, ',');) {
    deeds[std::stoull(each)] = each.substr(each.find('=') + 1);
  }
  const cyto::output workers = self.to("worker");
  self.source([=](cyto::turn& in) {
    constexpr std::uint64_t batch = 32;
    std::uint64_t at = next.value();
    for (std::uint64_t i = 0; i < batch && at < count; ++i) {
      const auto deed = deeds.find(++at);
      const std::string text = deed == deeds.end() ? "nothing" : deed->second;
      if (send(in, workers.by_key(at), "m" + std::to_string(at), text) != cyto::status::ok) break;
    }
    if (at != next.value()) {
      next.set(in, at);
      return cyto::produced::more;
    }
    if (hold.empty() || !std::filesystem::exists(hold)) return cyto::produced::finished;
    poll(nullptr, 0, 1);  // Nothing tells of a file that is removed.
    return cyto::produced::more;
  });
}

void die(const std::string& how) {
  if (how == "abort") std::abort();
  if (how == "segfault") {
    volatile std::uintptr_t address = 0x80;  // Volatile, or the compiler sees through it.
    *reinterpret_cast<volatile int*>(address) = 1;
  }
  if (how == "throw") throw std::runtime_error("this message is poison");
  if (how == "exit") std::_Exit(7);
  if (how == "hang") pause();
  if (how == "kill") static_cast<void>(std::raise(SIGKILL));
}

void set_up_worker(cyto::worker& self) {
  const cyto::output sinks = self.to("sink");
  const auto halves = self.cell<cyto::last_writer>("halves");
  const std::string file = self.setting("file", "");
  self.on<cyto::Update>([=](const cyto::Update& update, cyto::turn& in) {
    const std::string name = text_of(*update.cell());
    const std::string deed = text_of(*update.value());
    if (deed.starts_with("while-") && std::filesystem::exists(file)) die(deed.substr(6));
    if (deed.starts_with("half-")) {
      if (halves.value() != 0) die(deed.substr(5));
      halves.set(in, 1);
      in.again();
      return;
    }
    if (deed == "linger") {
      std::ofstream(file + ".here") << "here";
      while (std::filesystem::exists(file)) poll(nullptr, 0, 1);
    }
    die(deed);
    send(in, sinks.member(0), name, deed);
  });
}

void set_up_sink(cyto::worker& self) {
  self.on<cyto::Update>([&self](const cyto::Update& update, cyto::turn& in) {
    self.cell<cyto::counter>(text_of(*update.cell())).add(in, 1);
  });
}

}  // namespace

int main(int argc, char** argv) {
  return cyto::worker_main(argc, argv, [](cyto::worker& self) {
    if (self.name().starts_with("source")) set_up_source(self);
    if (self.name().starts_with("worker")) set_up_worker(self);
    if (self.name().starts_with("sink")) set_up_sink(self);
  });
}
