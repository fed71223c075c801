// Its cells are the result: where each package stands, how often packages came from one state into
// another, and what else the log says. The source tells it of events in the turn that sends them to
// the keepers; so no move may come before its event, or it is out of order.
#include <cyto/cyto.hpp>
#include <string>

#include "journal_generated.h"
#include "log.hpp"

int main(int argc, char** argv) {
  return cyto::worker_main(argc, argv, [](cyto::worker& self) {
    const auto events = self.cell<cyto::counter>("events");
    const auto moves = self.cell<cyto::counter>("moves");
    const auto out_of_order = self.cell<cyto::counter>("out of order");
    const auto sum = self.cell<cyto::counter>("digest");
    self.on<journal::Count>([&self](const journal::Count& count, cyto::turn& turn) {
      self.cell<cyto::counter>(count.name()->string_view()).add(turn, count.amount());
    });
    self.on<journal::Move>([=, &self](const journal::Move& move, cyto::turn& turn) {
      moves.add(turn, 1);
      if (moves.value() > events.value()) out_of_order.add(turn, 1);
      const std::string name = std::string(journal::state_name(move.from())) + " -> " +
                               std::string(journal::state_name(move.to()));
      self.cell<cyto::counter>(name).add(turn, 1);
    });
    self.on<journal::Final>([=, &self](const journal::Final& at, cyto::turn& turn) {
      const std::string name = "package " + at.package()->str() + " " +
                               std::string(journal::state_name(at.state())) + " " +
                               at.version()->str();
      self.cell<cyto::counter>(name).add(turn, at.events());
      sum.add(turn, at.digest());
    });
  });
}
