// Keeps the books of its symbols and lets orders meet: best price first, then the older order. A
// book is cells and nothing else, so a successor goes on with the book as the last turn left it.
#include <cyto/cyto.hpp>
#include <string>
#include <vector>

#include "orders_generated.h"

namespace {

// An order that waits, in the one word that a cell holds; 0 is a free place.
struct resting {
  std::uint64_t price;
  std::uint64_t quantity;
  std::uint64_t number;

  explicit resting(std::uint64_t word)
      : price(word >> 48), quantity(word >> 32 & 0xffff), number(word & 0xffffffff) {}
  [[nodiscard]] std::uint64_t word() const {
    return quantity == 0 ? 0 : price << 48 | quantity << 32 | number;
  }
};

// One side of a symbol's book: places that are used again when their orders are done.
class book_side {
 public:
  book_side(cyto::worker& self, std::string_view symbol, bool buys)
      : self_(&self),
        buys_(buys),
        name_(std::string(symbol) + (buys ? " buy " : " sell ")),
        places_(self.cell<cyto::counter>(name_)) {}

  [[nodiscard]] cyto::last_writer place(std::uint64_t index) const {
    return self_->cell<cyto::last_writer>(name_ + std::to_string(index));
  }

  // The place that an order of the other side at `limit` meets first; a false handle if none.
  [[nodiscard]] cyto::last_writer best_for(std::uint64_t limit) const {
    cyto::last_writer best;
    for (std::uint64_t i = 0; i < places_.value(); ++i) {
      const cyto::last_writer each = place(i);
      if (each.value() == 0) continue;
      const resting order(each.value());
      if (buys_ ? order.price < limit : order.price > limit) continue;
      if (!best || comes_before(order, resting(best.value()))) best = each;
    }
    return best;
  }

  void add(cyto::turn& turn, const resting& order) const {
    std::uint64_t free = 0;
    while (free < places_.value() && place(free).value() != 0) ++free;
    if (free == places_.value()) places_.add(turn, 1);
    place(free).set(turn, order.word());
  }

 private:
  [[nodiscard]] bool comes_before(const resting& left, const resting& right) const {
    if (left.price != right.price) return (left.price > right.price) == buys_;
    return left.number < right.number;
  }

  cyto::worker* self_;
  bool buys_;
  std::string name_;
  cyto::counter places_;
};

void check_turn_of(const orders::Order& order, std::uint64_t due) {
  if (order.number() == due) return;
  throw cyto::error(cyto::error_code::failed, "symbol " + order.symbol()->str(),
                    "order " + std::to_string(order.number()) + " came",
                    "order " + std::to_string(due) + " was due", "please report this");
}

}  // namespace

int main(int argc, char** argv) {
  return cyto::worker_main(argc, argv, [](cyto::worker& self) {
    const cyto::output ledger = self.to("ledger");
    self.on<orders::Order>([&self, ledger](const orders::Order& order, cyto::turn& turn) {
      const std::string symbol = order.symbol()->str();
      const auto seen = self.cell<cyto::counter>(symbol + " orders");
      const auto trades = self.cell<cyto::counter>(symbol + " trades");
      const book_side own(self, symbol, order.buys());
      const book_side other(self, symbol, !order.buys());
      seen.add(turn, 1);
      if (turn.fault() != cyto::turn_fault::none) return;
      check_turn_of(order, seen.value());

      const std::uint64_t first_trade = trades.value() + 1;
      std::uint64_t left = order.quantity();
      std::vector<orders::Fill> fills;
      while (left > 0) {
        const cyto::last_writer place = other.best_for(order.price());
        if (!place) break;
        resting maker(place.value());
        const std::uint64_t traded = std::min(left, maker.quantity);
        fills.emplace_back(static_cast<std::uint32_t>(maker.number),
                           static_cast<std::uint16_t>(maker.price),
                           static_cast<std::uint16_t>(traded));
        left -= traded;
        maker.quantity -= traded;
        place.set(turn, maker.word());
        if (turn.fault() != cyto::turn_fault::none) return;
      }
      if (left > 0) {
        resting rest(0);
        rest.price = order.price();
        rest.quantity = left;
        rest.number = order.number();
        own.add(turn, rest);
      }
      if (fills.empty()) return;
      trades.add(turn, fills.size());
      turn.send<orders::Execution>(ledger.member(0), [&](flatbuffers::FlatBufferBuilder& fbb) {
        const auto text = fbb.CreateString(symbol);
        const auto list = fbb.CreateVectorOfStructs(fills);
        return orders::CreateExecution(fbb, text, static_cast<std::uint32_t>(first_trade),
                                       order.number(), list);
      });
    });
  });
}
