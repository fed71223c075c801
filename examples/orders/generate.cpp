// orders_generate SEED ORDERS SYMBOLS: writes orders, the same for the same three numbers. The
// price of a symbol wanders in a narrow band, and the side that is behind sends more, so that books
// stay small and most orders meet another.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <random>
#include <string>
#include <vector>

namespace {

struct market {
  std::uint64_t price = 10'000;
  std::uint64_t bought = 0;
  std::uint64_t sold = 0;
};

}  // namespace

int main(int argc, char** argv) {
  const auto number = [&](int index) -> std::uint64_t {
    return index < argc ? std::strtoull(argv[index], nullptr, 10) : 0;
  };
  const std::uint64_t orders = number(2);
  const std::uint64_t symbols = number(3);
  if (argc != 4 || orders == 0 || symbols == 0) {
    std::cerr << "orders_generate: usage: orders_generate SEED ORDERS SYMBOLS\n";
    return 2;
  }
  std::ios::sync_with_stdio(false);
  // The distributions of the standard library differ between libraries; its generators do not.
  std::mt19937_64 random(number(1));
  std::vector<market> markets(symbols);
  for (std::uint64_t i = 0; i < orders; ++i) {
    const std::uint64_t symbol = random() % symbols;
    market& at = markets[symbol];
    at.price = std::clamp<std::uint64_t>(at.price + random() % 3 - 1, 9'990, 10'010);
    const std::uint64_t quantity = 1 + random() % 100;
    const bool buys = at.bought == at.sold ? random() % 2 == 0 : at.bought < at.sold;
    const bool against = random() % 3 == 0;
    const bool side = buys != against;
    (side ? at.bought : at.sold) += quantity;
    const std::uint64_t limit = at.price + (side ? 4 - random() % 6 : random() % 6 - 4);
    std::cout << 'S' << symbol << (side ? " buy " : " sell ") << limit << ' ' << quantity << '\n';
  }
  std::cout.flush();
  return std::cout ? 0 : 1;
}
