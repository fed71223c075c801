// Knows the state and version of each of its packages, and distrusts: what happened to a package
// must come in its order, nothing twice, and nothing after the end of the log, also while packages
// move from keeper to keeper. What is not so is counted as out of order. `digest` is the FNV-1a
// hash of all that happened to a package, in order.
#include <algorithm>
#include <cyto/cyto.hpp>
#include <string>
#include <string_view>

#include "journal_generated.h"
#include "log.hpp"

namespace {

constexpr std::uint64_t fnv_basis = 0xcbf29ce484222325ULL;
constexpr std::uint64_t fnv_prime = 0x100000001b3ULL;

std::uint64_t digest(std::uint64_t state, std::string_view text) {
  for (const char byte : text) state = (state ^ static_cast<unsigned char>(byte)) * fnv_prime;
  return state;
}

// Which member of the set it is, by age and from 1; 0 if it is none.
std::uint64_t number_of(const cyto::growing_set& set, std::string_view member) {
  std::uint64_t number = set.size();
  set.each([&](std::string_view each) { return each != member && number-- > 0; });
  return number;
}

// The member of that number; what dpkg calls no version if there is none.
std::string member_of(const cyto::growing_set& set, std::uint64_t wanted) {
  std::string found = "<none>";
  std::uint64_t number = set.size();
  set.each([&](std::string_view each) {
    if (number == wanted) found = each;
    return number-- > wanted;
  });
  return found;
}

class keeper {
 public:
  explicit keeper(cyto::worker& self) : self_(&self), register_(self.to("register")) {}

  void take(const journal::Event& event, cyto::turn& turn) {
    const std::string package = event.package()->str();
    const cells its(*self_, package);
    its.events.add(turn, 1);
    if (event.number() != its.events.value() || its.ended.value() != 0) tell_disorder(turn);
    std::uint64_t hash = its.digest.value();
    if (its.events.value() == 1) hash = digest(fnv_basis, package + "\n");
    const std::string new_version = event.new_version() ? event.new_version()->str() : "";
    its.digest.set(turn, digest(hash, std::string(journal::word_name(event.word())) + " " +
                                          event.version()->str() + " " + new_version + "\n"));
    if (event.word() >= journal::state_count) return;
    const auto from = static_cast<std::uint8_t>(its.state.value());
    const auto to = static_cast<std::uint8_t>(event.word() + 1);
    its.versions.add(turn, event.version()->string_view());
    its.version.set(turn, number_of(its.versions, event.version()->string_view()));
    its.state.set(turn, to);
    turn.send<journal::Move>(register_.member(0), [&](flatbuffers::FlatBufferBuilder& fbb) {
      return journal::CreateMove(fbb, from, to);
    });
  }

  void end(const journal::End& end, cyto::turn& turn) {
    const std::string package = end.package()->str();
    const cells its(*self_, package);
    if (its.ended.value() != 0) tell_disorder(turn);
    its.ended.set(turn, 1);
    turn.send<journal::Final>(register_.member(0), [&](flatbuffers::FlatBufferBuilder& fbb) {
      const auto name = fbb.CreateString(package);
      const auto version = fbb.CreateString(member_of(its.versions, its.version.value()));
      return journal::CreateFinal(fbb, name, static_cast<std::uint8_t>(its.state.value()), version,
                                  its.events.value(), its.digest.value());
    });
  }

 private:
  // What is known of a package.
  struct cells {
    cyto::counter events;
    cyto::last_writer digest;
    cyto::last_writer state;     // As in Move.
    cyto::last_writer version;   // Which of
    cyto::growing_set versions;  // all that it has had.

    cyto::last_writer ended;

    cells(cyto::worker& of, const std::string& package) : cells(of.keyed(package)) {}

   private:
    explicit cells(const cyto::key_cells& of)
        : events(of.cell<cyto::counter>("events")),
          digest(of.cell<cyto::last_writer>("digest")),
          state(of.cell<cyto::last_writer>("state")),
          version(of.cell<cyto::last_writer>("version")),
          versions(of.cell<cyto::growing_set>("versions")),
          ended(of.cell<cyto::last_writer>("ended")) {}
  };

  void tell_disorder(cyto::turn& turn) {
    turn.send<journal::Count>(register_.member(0), [](flatbuffers::FlatBufferBuilder& fbb) {
      const auto name = fbb.CreateString("out of order");
      return journal::CreateCount(fbb, name, 1);
    });
  }

  cyto::worker* self_;
  cyto::output register_;
};

}  // namespace

int main(int argc, char** argv) {
  return cyto::worker_main(argc, argv, [](cyto::worker& self) {
    const auto here = std::make_shared<keeper>(self);
    const auto package = [](const auto& message) { return message.package()->string_view(); };
    self.on<journal::Event>(package, [here](const journal::Event& event, cyto::turn& turn) {
      here->take(event, turn);
    });
    self.on<journal::End>(
        package, [here](const journal::End& end, cyto::turn& turn) { here->end(end, turn); });
  });
}
