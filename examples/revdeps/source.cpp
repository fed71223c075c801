// Cuts a package index into stanzas. Its position in the input is a cell, so each stanza is sent
// exactly once however often this process is killed.
#include <algorithm>
#include <cyto/cyto.hpp>
#include <memory>

#include "stanza_generated.h"
#include "stanza_reader.hpp"

namespace {

// Bytes of stanzas in one turn: enough that a turn's fixed cost and the reader's wake-up do not
// count.
constexpr std::uint64_t turn_bytes_max = 64 * 1024;
constexpr std::uint64_t flatbuffer_bytes = 64;  // What a Stanza needs beside its text, at most.

class source {
 public:
  explicit source(cyto::worker& self)
      : self_(&self),
        parsers_(self.to("parser")),
        position_(self.cell<cyto::last_writer>("position")),
        identity_(self.cell<cyto::last_writer>("identity")),
        stanzas_(self.cell<cyto::counter>("stanzas")),
        with_package_(self.cell<cyto::counter>("stanzas with a package")),
        index_(self.setting("input"), self.setting("input_name"),
               parsers_.member(0).lane.payload_bytes_max() - flatbuffer_bytes),
        chunk_bytes_(std::min(turn_bytes_max, parsers_.lane_bytes_min() / 4)),
        opened_(index_.identity()) {}

  cyto::produced produce(cyto::turn& turn) {
    const std::uint64_t begin = position_.value();
    if (identity_.value() == 0) identity_.set(turn, opened_);
    index_.check_unchanged(identity_.value());
    std::uint64_t at = begin;
    cyto::turn_output& parser = parsers_.any();
    while (at - begin < chunk_bytes_ && !turn.is_nearly_full()) {
      const std::uint64_t before = at;
      const std::string_view stanza = index_.next(at);
      // A large one behind others waits for a turn of its own: together they might never fit.
      if (before != begin && parser.lane.room_seen() < stanza.size() + 4 * flatbuffer_bytes) {
        at = before;
        break;
      }
      if (stanza.empty()) {
        if (with_package_.value() == 0) index_.refuse_content(stanzas_.value());
        break;
      }
      with_package_.add(turn, revdeps::package_of(stanza, joined_).empty() ? 0 : 1);
      stanzas_.add(turn, 1);
      turn.send<revdeps::Stanza>(parser, [&](flatbuffers::FlatBufferBuilder& fbb) {
        return revdeps::CreateStanza(
            fbb,
            fbb.CreateVector(reinterpret_cast<const std::uint8_t*>(stanza.data()), stanza.size()));
      });
    }
    position_.set(turn, at);
    self_->progress(at, index_.size());
    return at == begin ? cyto::produced::finished : cyto::produced::more;
  }

 private:
  cyto::worker* self_;
  cyto::output parsers_;
  cyto::last_writer position_;  // Bytes of the input whose stanzas are sent.
  cyto::last_writer identity_;
  cyto::counter stanzas_;
  cyto::counter with_package_;
  revdeps::stanza_reader index_;
  std::uint64_t chunk_bytes_;
  std::uint64_t opened_;  // The file's identity as this process has found it.
  std::string joined_;
};

}  // namespace

int main(int argc, char** argv) {
  return cyto::worker_main(argc, argv, [](cyto::worker& self) {
    const auto here = std::make_shared<source>(self);
    self.source([here](cyto::turn& turn) { return here->produce(turn); });
  });
}
