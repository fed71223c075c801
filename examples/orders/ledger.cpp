// Sums up what was traded, and distrusts: each order and each trade of a symbol must come once, in
// its place, and no trade before the orders that it is made of. What is not so is counted in
// `violations`. `digest` is the FNV-1a hash of all trades of a symbol in their order, each as the
// line `TAKER MAKER PRICE QUANTITY`.
#include <cyto/cyto.hpp>
#include <string>
#include <string_view>

#include "orders_generated.h"

namespace {

constexpr std::uint64_t fnv_basis = 0xcbf29ce484222325ULL;
constexpr std::uint64_t fnv_prime = 0x100000001b3ULL;

std::uint64_t digest(std::uint64_t state, std::string_view text) {
  for (const char byte : text) state = (state ^ static_cast<unsigned char>(byte)) * fnv_prime;
  return state;
}

}  // namespace

int main(int argc, char** argv) {
  return cyto::worker_main(argc, argv, [](cyto::worker& self) {
    const auto violations = self.cell<cyto::counter>("violations");
    self.on<orders::Order>([=, &self](const orders::Order& order, cyto::turn& turn) {
      const auto seen = self.cell<cyto::counter>(order.symbol()->str() + " orders");
      seen.add(turn, 1);
      if (order.number() != seen.value()) violations.add(turn, 1);
    });
    self.on<orders::Execution>([=, &self](const orders::Execution& done, cyto::turn& turn) {
      const std::string symbol = done.symbol()->str();
      const auto known_orders = self.cell<cyto::counter>(symbol + " orders");
      const auto trades = self.cell<cyto::counter>(symbol + " trades");
      const auto quantity = self.cell<cyto::counter>(symbol + " quantity");
      const auto turnover = self.cell<cyto::counter>(symbol + " turnover");
      const auto hash = self.cell<cyto::last_writer>(symbol + " digest");
      if (done.first_trade() != trades.value() + 1) violations.add(turn, 1);
      std::uint64_t state = trades.value() == 0 ? fnv_basis : hash.value();
      for (const orders::Fill* fill : *done.fills()) {
        const bool is_known = done.taker() <= known_orders.value() && fill->maker() < done.taker();
        if (!is_known) violations.add(turn, 1);
        trades.add(turn, 1);
        quantity.add(turn, fill->quantity());
        turnover.add(turn, std::uint64_t{fill->price()} * fill->quantity());
        state = digest(state, std::to_string(done.taker()) + " " + std::to_string(fill->maker()) +
                                  " " + std::to_string(fill->price()) + " " +
                                  std::to_string(fill->quantity()) + "\n");
      }
      hash.set(turn, state);
    });
  });
}
