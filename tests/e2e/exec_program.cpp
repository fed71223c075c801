// A network whose workers are replaced by other programs: source -> worker -> sink. Each is this
// program; what it does otherwise is in the name it is called by ("throws", "hangs", ...), and
// whether a field differs is in the schema it is built with. The sink counts each message in a cell
// of its own, so the table shows what was lost or doubled.
//
//   source: sends 1 to `count`. Ends when the file `hold` is not there.
//   worker: passes on.
#include <poll.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>

#include <cyto/cyto.hpp>

#include EXEC_SCHEMA

namespace {

cyto::status send(cyto::turn& in, cyto::turn_output& to, std::uint64_t number) {
  return in.send<exec::Task>(
      to, [number](flatbuffers::FlatBufferBuilder& fbb) { return exec::CreateTask(fbb, number); });
}

void set_up_source(cyto::worker& self) {
  const auto next = self.cell<cyto::last_writer>("next");
  const std::uint64_t count = std::stoull(self.setting("count"));
  const std::string hold = self.setting("hold");
  const cyto::output workers = self.to("worker");
  self.source([=](cyto::turn& in) {
    constexpr std::uint64_t batch = 32;
    std::uint64_t at = next.value();
    for (std::uint64_t i = 0; i < batch && at < count; ++i) {
      if (send(in, workers.member(0), ++at) != cyto::status::ok) break;
    }
    if (at != next.value()) {
      next.set(in, at);
      return cyto::produced::more;
    }
    if (!std::filesystem::exists(hold)) return cyto::produced::finished;
    poll(nullptr, 0, 1);  // Nothing tells of a file that is removed.
    return cyto::produced::more;
  });
}

void set_up_worker(cyto::worker& self, const std::string& called) {
  const cyto::output sinks = self.to("sink");
  const std::string path = self.setting("notes");
  // What a setup does outside of cyto it does not do in a rehearsal.
  if (!self.is_rehearsal()) std::filesystem::create_directory(path + std::to_string(getpid()));
  if (called == "kind") self.cell<cyto::maximum>("passed");
  if (called == "throws") throw std::runtime_error("no such\nport");
  if (called == "refuses") static_cast<void>(self.setting("port"));
  if (called == "exits") std::_Exit(0);
  if (called == "aborts") std::abort();
  if (called == "hangs") {
    // With a child, which has to go as well.
    if (fork() >= 0) poll(nullptr, 0, -1);
  }
  const auto passed = self.cell<cyto::counter>("passed");
  if (called == "deaf") return;
  self.on<exec::Task>([=](const exec::Task& task, cyto::turn& in) {
    passed.add(in, 1);
    send(in, sinks.member(0), task.number());
  });
}

void set_up_sink(cyto::worker& self) {
  self.on<exec::Task>([&self](const exec::Task& task, cyto::turn& in) {
    self.cell<cyto::counter>("m" + std::to_string(task.number())).add(in, 1);
  });
}

}  // namespace

int main(int argc, char** argv) {
  const std::string called = std::filesystem::path(argv[0]).filename().string();
  return cyto::worker_main(argc, argv, [&called, argc](cyto::worker& self) {
    if (argc != 2 && called != "alone")
      throw std::runtime_error("the topology gives it one argument");
    if (self.name().starts_with("source")) set_up_source(self);
    if (self.name().starts_with("worker")) set_up_worker(self, called);
    if (self.name().starts_with("sink")) set_up_sink(self);
  });
}
