// Owns names, by hash: knows what each package of its own needs, who provides each name of its own,
// and which of them each root has reached. A need of a name of its own is met by reaching it; what
// that needs in turn is sent to whom it concerns, round every cycle of the graph, until nothing new
// is reached: then it comes to rest.
#include <algorithm>
#include <cyto/cyto.hpp>
#include <memory>
#include <string>
#include <string_view>

#include "closure_generated.h"
#include "graph.hpp"

namespace {

class resolver {
 public:
  explicit resolver(cyto::worker& self)
      : self_(&self),
        resolvers_(self.to("resolver")),
        tally_(self.to("tally")),
        sent_(self.cell<cyto::last_writer>("groups sent")),
        turn_bytes_max_(resolvers_.lane_bytes_min() / 2) {}

  void take(const closure::Package& package, cyto::turn& turn) {
    const auto needs = needs_of(closure::text_of(*package.name()));
    needs.add(turn, "");  // It is there, also if it needs nothing.
    std::string_view groups = closure::text_of(*package.groups());
    while (!groups.empty()) needs.add(turn, closure::cut(groups, ','));
  }

  void take(const closure::Provided& provided, cyto::turn& turn) {
    std::string_view names = closure::text_of(*provided.names());
    while (!names.empty()) {
      providers_of(closure::cut(names, ',')).add(turn, closure::text_of(*provided.by()));
    }
  }

  void take(const closure::Need& need, cyto::turn& turn) {
    const std::string_view root = closure::text_of(*need.root());
    const std::string_view group = closure::text_of(*need.group());
    std::string_view left = group.substr(std::min<std::size_t>(need.from(), group.size()));
    const std::string_view name = closure::cut(left, '|');
    const auto needs = needs_of(name);
    if (needs.size() != 0) {
      reach(turn, root, name, needs);
    } else if (const std::string provider = provider_of(name); !provider.empty()) {
      send_need(turn, root, provider, 0);
    } else if (!left.empty()) {
      send_need(turn, root, group, group.size() - left.size());
    } else {
      miss(turn, root, group);
    }
  }

 private:
  // An empty member if the package is there, and its groups.
  [[nodiscard]] cyto::growing_set needs_of(std::string_view name) const {
    return self_->cell<cyto::growing_set>("needs " + std::string(name));
  }
  [[nodiscard]] cyto::growing_set providers_of(std::string_view name) const {
    return self_->cell<cyto::growing_set>("providers " + std::string(name));
  }

  // Of all that provide the name the first in byte order, in whatever order they were heard of.
  [[nodiscard]] std::string provider_of(std::string_view name) const {
    std::string first;
    providers_of(name).each([&](std::string_view each) {
      if (first.empty() || each < first) first = each;
      return true;
    });
    return first;
  }

  // A package that needs more than one turn may send is taken up again where the last one stopped.
  void reach(cyto::turn& turn, std::string_view root, std::string_view name,
             const cyto::growing_set& needs) {
    const std::uint64_t begin = sent_.value();
    if (begin == 0) {
      const auto reached = self_->cell<cyto::growing_set>("reached by " + std::string(root));
      if (!reached.add(turn, name)) return;
      turn.send<closure::Reached>(tally_.member(0), [&](flatbuffers::FlatBufferBuilder& fbb) {
        const auto root_bytes = closure::bytes_of(fbb, root);
        return closure::CreateReached(fbb, root_bytes, closure::bytes_of(fbb, name));
      });
    }
    std::uint64_t at = 0;
    std::uint64_t bytes = 0;
    needs.each([&](std::string_view group) {
      if (at >= begin && !group.empty()) {
        const std::uint64_t more = cyto::round_up(root.size() + group.size() + 96, 64);
        if (bytes != 0 && bytes + more > turn_bytes_max_) return false;
        bytes += more;
        send_need(turn, root, group, 0);
      }
      ++at;
      return true;
    });
    const std::uint64_t end = at < needs.size() ? at : 0;
    if (end != 0) turn.again();
    if (end != begin) sent_.set(turn, end);
  }

  void miss(cyto::turn& turn, std::string_view root, std::string_view group) {
    if (!self_->cell<cyto::growing_set>("missed by " + std::string(root)).add(turn, group)) return;
    turn.send<closure::Missing>(tally_.member(0), [&](flatbuffers::FlatBufferBuilder& fbb) {
      return closure::CreateMissing(fbb, closure::bytes_of(fbb, group));
    });
  }

  void send_need(cyto::turn& turn, std::string_view root, std::string_view group,
                 std::size_t from) const {
    std::string_view name = group.substr(from);
    turn.send<closure::Need>(resolvers_.by_key(cyto::hash_bytes(closure::cut(name, '|'))),
                             [&](flatbuffers::FlatBufferBuilder& fbb) {
                               const auto root_bytes = closure::bytes_of(fbb, root);
                               const auto group_bytes = closure::bytes_of(fbb, group);
                               return closure::CreateNeed(fbb, root_bytes, group_bytes,
                                                          static_cast<std::uint32_t>(from));
                             });
  }

  cyto::worker* self_;
  cyto::output resolvers_;
  cyto::output tally_;
  cyto::last_writer sent_;  // How many groups of the package in hand are sent; 0: none is in hand.
  std::uint64_t turn_bytes_max_;
};

}  // namespace

int main(int argc, char** argv) {
  return cyto::worker_main(argc, argv, [](cyto::worker& self) {
    const auto here = std::make_shared<resolver>(self);
    self.on<closure::Package>(
        [here](const closure::Package& package, cyto::turn& turn) { here->take(package, turn); });
    self.on<closure::Provided>([here](const closure::Provided& provided, cyto::turn& turn) {
      here->take(provided, turn);
    });
    self.on<closure::Need>(
        [here](const closure::Need& need, cyto::turn& turn) { here->take(need, turn); });
  });
}
