// Tells the resolvers of all packages of an index, and then, from the same lanes, of the roots.
//
// The order is what the job stands on: whoever hears of a root, from here or from another resolver,
// has heard of all its own packages before. The source sent those earlier, and what a resolver
// sends on is an effect of the root's message; no worker is handed an effect before its cause. So
// nobody waits for the graph to be complete, and nobody asks whether it is.
#include <algorithm>
#include <charconv>
#include <cyto/cyto.hpp>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "../revdeps/stanza_reader.hpp"
#include "closure_generated.h"
#include "graph.hpp"

namespace {

constexpr std::uint64_t turn_bytes_max = 64 * 1024;

// What is being sent.
enum class part : std::uint64_t { packages, roots, nothing };

class source {
 public:
  explicit source(cyto::worker& self)
      : self_(&self),
        resolvers_(self.to("resolver")),
        part_(self.cell<cyto::last_writer>("part")),
        position_(self.cell<cyto::last_writer>("position")),
        identity_(self.cell<cyto::last_writer>("identity")),
        stanzas_(self.cell<cyto::counter>("stanzas")),
        packages_(self.cell<cyto::counter>("packages")),
        // Every message is shorter than its stanza and what a FlatBuffer needs besides.
        index_(self.setting("input"), self.setting("input_name"), resolvers_.lane_bytes_min() / 2),
        turn_bytes_(std::min(turn_bytes_max, resolvers_.lane_bytes_min() / 8)),
        opened_(index_.identity()),
        named_(self.setting("roots")),
        root_every_(number(self.setting("root_every"))) {}

  cyto::produced produce(cyto::turn& turn) {
    if (identity_.value() == 0) identity_.set(turn, opened_);
    index_.check_unchanged(identity_.value());
    switch (static_cast<part>(part_.value())) {
      case part::packages:
        send_packages(turn);
        break;
      case part::roots:
        named_.empty() ? send_roots(turn) : send_named_roots(turn);
        break;
      case part::nothing:
        return cyto::produced::finished;
    }
    return cyto::produced::more;
  }

 private:
  [[nodiscard]] std::uint64_t number(const std::string& text) const {
    std::uint64_t value = 0;
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (problem == std::errc() && end == text.data() + text.size() && value != 0) return value;
    throw cyto::error(cyto::error_code::bad_input, "worker " + std::string(self_->name()),
                      "root_every is '" + text + "'", "a whole number from 1 on is possible",
                      "correct it (--set root_every=N)");
  }

  void go_on(cyto::turn& turn, part next) {
    part_.set(turn, static_cast<std::uint64_t>(next));
    position_.set(turn, 0);
  }

  // Calls f(stanza, name) for the next stanzas of packages. Returns whether there are more.
  template <class F>
  bool each_package(cyto::turn& turn, F f) {
    const std::uint64_t begin = position_.value();
    std::uint64_t at = begin;
    while (at - begin < turn_bytes_ && !turn.is_nearly_full()) {
      const std::uint64_t before = at;
      const std::string_view stanza = index_.next(at);
      if (stanza.empty()) break;
      // A large one behind others waits for a turn of its own: together they might never fit.
      if (before != begin && stanza.size() > turn_bytes_) {
        at = before;
        break;
      }
      f(stanza, closure::name_of(revdeps::package_of(stanza, joined_)));
    }
    position_.set(turn, at);
    self_->progress(at, index_.size());
    return at != begin;
  }

  void send_packages(cyto::turn& turn) {
    const bool is_more = each_package(turn, [&](std::string_view stanza, std::string_view name) {
      stanzas_.add(turn, 1);
      if (name.empty()) return;
      packages_.add(turn, 1);
      const std::string groups = closure::needs_of(stanza);
      turn.send<closure::Package>(owner_of(name), [&](flatbuffers::FlatBufferBuilder& fbb) {
        const auto name_bytes = closure::bytes_of(fbb, name);
        return closure::CreatePackage(fbb, name_bytes, closure::bytes_of(fbb, groups));
      });
      send_provided(turn, name, closure::provided_by(stanza));
    });
    if (is_more) return;
    if (packages_.value() == 0) index_.refuse_content(stanzas_.value());
    go_on(turn, part::roots);
  }

  // One message for each resolver that owns some of the names.
  void send_provided(cyto::turn& turn, std::string_view by, std::string_view names) {
    std::map<cyto::turn_output*, std::string> shares;
    while (!names.empty()) {
      const std::string_view name = closure::cut(names, ',');
      std::string& share = shares[&owner_of(name)];
      share.append(share.empty() ? "" : ",").append(name);
    }
    for (const auto& each : shares) {
      turn.send<closure::Provided>(*each.first, [&](flatbuffers::FlatBufferBuilder& fbb) {
        const auto by_bytes = closure::bytes_of(fbb, by);
        return closure::CreateProvided(fbb, by_bytes, closure::bytes_of(fbb, each.second));
      });
    }
  }

  // Every so-manieth package, beginning with the first.
  void send_roots(cyto::turn& turn) {
    const auto counted = self_->cell<cyto::counter>("packages seen again");
    const bool is_more = each_package(turn, [&](std::string_view, std::string_view name) {
      if (name.empty()) return;
      if (counted.value() % root_every_ == 0) send_root(turn, name);
      counted.add(turn, 1);
    });
    if (!is_more) go_on(turn, part::nothing);
  }

  void send_named_roots(cyto::turn& turn) {
    std::string_view left = named_;
    left.remove_prefix(std::min<std::uint64_t>(left.size(), position_.value()));
    while (!left.empty() && !turn.is_nearly_full()) {
      const std::string_view name = closure::name_of(closure::cut(left, ' '));
      if (!name.empty()) send_root(turn, name);
      position_.set(turn, named_.size() - left.size());
    }
    if (left.empty()) go_on(turn, part::nothing);
  }

  void send_root(cyto::turn& turn, std::string_view name) {
    turn.send<closure::Need>(owner_of(name), [&](flatbuffers::FlatBufferBuilder& fbb) {
      const auto root = closure::bytes_of(fbb, name);
      return closure::CreateNeed(fbb, root, closure::bytes_of(fbb, name), 0);
    });
  }

  [[nodiscard]] cyto::turn_output& owner_of(std::string_view name) const {
    return resolvers_.by_key(cyto::hash_bytes(name));
  }

  cyto::worker* self_;
  cyto::output resolvers_;
  cyto::last_writer part_;
  cyto::last_writer position_;  // In the index, or in the names of the roots.
  cyto::last_writer identity_;
  cyto::counter stanzas_;
  cyto::counter packages_;
  revdeps::stanza_reader index_;
  std::uint64_t turn_bytes_;  // Of the index, at most, unless a stanza has more.
  std::uint64_t opened_;      // The file's identity as this process has found it.
  std::string named_;         // Roots; empty: every so-manieth package is one.
  std::uint64_t root_every_;
  std::string joined_;
};

}  // namespace

int main(int argc, char** argv) {
  return cyto::worker_main(argc, argv, [](cyto::worker& self) {
    const auto here = std::make_shared<source>(self);
    self.source([here](cyto::turn& turn) { return here->produce(turn); });
  });
}
