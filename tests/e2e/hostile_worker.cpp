// The program of the workers of hostile_test.cpp, by the setting `role`:
//   source  sends `count` numbers to the workers of `to`
//   mad     passes numbers on, then writes over all that it may write, again and again, and
//           dies of it or not, by `seed`
//   sink    counts what comes, by who sent it
#include <unistd.h>

#include <cyto/cyto.hpp>

#include "support/scribble.hpp"
#include "update_generated.h"

namespace {

std::string_view text_of(const flatbuffers::Vector<std::uint8_t>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void send(cyto::turn& in, cyto::turn_output& to, std::string_view cell, std::string_view value) {
  const auto bytes = [](flatbuffers::FlatBufferBuilder& fbb, std::string_view text) {
    return fbb.CreateVector(reinterpret_cast<const std::uint8_t*>(text.data()), text.size());
  };
  in.send<cyto::Update>(to, [&](flatbuffers::FlatBufferBuilder& fbb) {
    const auto name = bytes(fbb, cell);
    return cyto::CreateUpdate(fbb, name, bytes(fbb, value));
  });
}

void be_a_source(cyto::worker& self) {
  const auto sent = self.cell<cyto::counter>("sent");
  const cyto::output to = self.to(self.setting("to"));
  const std::uint64_t count = std::stoull(self.setting("count"));
  self.source([=, name = std::string(self.name())](cyto::turn& in) {
    if (sent.value() == count) return cyto::produced::finished;
    send(in, to.member(0), name, std::to_string(sent.value()));
    sent.add(in, 1);
    return cyto::produced::more;
  });
}

void be_mad(cyto::worker& self) {
  const cyto::output to = self.to("sink");
  const std::uint64_t seed = std::stoull(self.setting("seed"));
  self.on<cyto::Update>(
      [=, taken = std::uint64_t{0}](const cyto::Update& update, cyto::turn& in) mutable {
        send(in, to.member(0), text_of(*update.cell()), text_of(*update.value()));
        if (++taken < 200 + seed % 100) return;
        cyto::test::scribbler away(seed + taken);
        away.scribble(3000);
        if (seed % 2 == 0) ::_exit(1);
      });
}

void be_a_sink(cyto::worker& self) {
  self.on<cyto::Update>([&self](const cyto::Update& update, cyto::turn& in) {
    self.cell<cyto::counter>(text_of(*update.cell())).add(in, 1);
  });
}

}  // namespace

int main(int argc, char** argv) {
  return cyto::worker_main(argc, argv, [](cyto::worker& self) {
    const std::string role = self.setting("role");
    if (role == "source") be_a_source(self);
    if (role == "mad") be_mad(self);
    if (role == "sink") be_a_sink(self);
  });
}
