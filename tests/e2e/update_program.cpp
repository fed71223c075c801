// A network of updates, by the name of the worker's group:
//
//   source: adds one to each of `cells` cells of the next group, `rounds` times over; in the last
//           round, if it is told to be `wrong`, once more to a cell that nobody has. Ends when the
//           file `hold` is not there.
//   desk:   passes each change on: one to the same cell of the stock, and what it has counted
//           itself as the most that there is.
//   stock:  is slower than all others.
//   ring:   passes each change on to the next member, the last one to the first.
#include <poll.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>

#include <cyto/cyto.hpp>

namespace {

void set_up_source(cyto::worker& self) {
  const std::uint64_t cells = std::stoull(self.setting("cells"));
  const std::uint64_t rounds = std::stoull(self.setting("rounds"));
  const bool is_wrong = self.setting("wrong", "no") == "yes";
  const std::string hold = self.setting("hold", "");
  const cyto::output next = self.to(self.setting("to"));
  const auto position = self.cell<cyto::counter>("position");
  self.source([=](cyto::turn& in) {
    const std::uint64_t at = position.value();
    if (at == rounds) {
      if (!hold.empty() && std::filesystem::exists(hold)) {
        poll(nullptr, 0, 1);
        return cyto::produced::more;
      }
      return cyto::produced::finished;
    }
    for (std::uint64_t i = 0; i < cells; ++i) {
      cyto::update(in, next.by_key(i)).increment("cell " + std::to_string(i), 1);
    }
    if (is_wrong && at + 1 == rounds) cyto::update(in, next.member(0)).increment("unknown", 1);
    position.add(in, 1);
    return cyto::produced::more;
  });
}

void set_up_desk(cyto::worker& self) {
  const cyto::output stock = self.to("stock");
  const std::uint64_t cells = std::stoull(self.setting("cells"));
  for (std::uint64_t i = 0; i < cells; ++i) {
    (void)self.cell<cyto::counter>("cell " + std::to_string(i));
  }
  self.accept_updates().on_change([=, &self](cyto::turn& in, std::string_view cell) {
    cyto::update(in, stock.member(0)).increment(cell, 1);
    cyto::update(in, stock.member(0))
        .raise("most of " + std::string(cell), self.cell<cyto::counter>(cell).value());
  });
}

void set_up_stock(cyto::worker& self) {
  self.accept_updates().of(cyto::new_cells::make).on_change([](cyto::turn&, std::string_view) {
    poll(nullptr, 0, 1);
  });
}

void set_up_ring(cyto::worker& self) {
  const std::string name(self.name());
  const std::string next = name.substr(0, 4) + std::to_string((name[4] - '0' + 1) % 3);
  const cyto::output to = self.to(next);
  self.accept_updates()
      .of(cyto::new_cells::make)
      .on_change([=](cyto::turn& in, std::string_view cell) {
        cyto::update(in, to.member(0)).increment(cell, 1);
      });
}

}  // namespace

int main(int argc, char** argv) {
  return cyto::worker_main(argc, argv, [](cyto::worker& self) {
    const std::string_view name = self.name();
    if (name.starts_with("source")) return set_up_source(self);
    if (name.starts_with("desk")) return set_up_desk(self);
    if (name.starts_with("stock")) return set_up_stock(self);
    set_up_ring(self);
  });
}
