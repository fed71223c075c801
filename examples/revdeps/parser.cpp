// Takes stanzas apart: one update for each package that is named, to the counter that owns the
// name.
#include <cyto/cyto.hpp>

#include "rule.hpp"
#include "stanza_generated.h"
#include "update_generated.h"

namespace {

std::string_view text_of(const flatbuffers::Vector<std::uint8_t>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

auto bytes_of(flatbuffers::FlatBufferBuilder& fbb, std::string_view text) {
  return fbb.CreateVector(reinterpret_cast<const std::uint8_t*>(text.data()), text.size());
}

}  // namespace

int main(int argc, char** argv) {
  return cyto::worker_main(argc, argv, [](cyto::worker& self) {
    const cyto::output counters = self.to("counter");
    // Where to go on in a stanza that names more than one turn may send.
    const auto resume = self.cell<cyto::last_writer>("resume");
    const std::uint64_t turn_bytes_max = counters.lane_bytes_min() / 2;
    self.on<revdeps::Stanza>(
        [=, joined = std::string()](const revdeps::Stanza& stanza, cyto::turn& turn) mutable {
          const std::string_view text = text_of(*stanza.text());
          const std::string_view package = revdeps::package_of(text, joined);
          if (package.empty()) return;
          std::uint64_t sent_bytes = 0;
          const auto take = [&](std::string_view name) {
            if (name == package) return true;
            // An update is little more than its two names; what does not fit comes in the next
            // turn.
            const std::uint64_t bytes = cyto::round_up(name.size() + package.size() + 64, 64);
            if (sent_bytes != 0 && sent_bytes + bytes > turn_bytes_max) return false;
            sent_bytes += bytes;
            turn.send<cyto::Update>(counters.by_key(cyto::hash_bytes(name)),
                                    [&](flatbuffers::FlatBufferBuilder& fbb) {
                                      const auto cell = bytes_of(fbb, name);
                                      const auto value = bytes_of(fbb, package);
                                      return cyto::CreateUpdate(fbb, cell, value);
                                    });
            return true;
          };
          const std::uint64_t from = resume.value();
          const std::uint64_t next = revdeps::each_name(text, take, from);
          if (next < text.size()) {
            resume.set(turn, next);
            turn.again();
          } else if (from != 0) {
            resume.set(turn, 0);
          }
        });
  });
}
