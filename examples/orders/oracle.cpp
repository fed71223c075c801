// orders_oracle INPUT: the table of the job that orders.toml does with many processes, by one.
//
// It shares no code with the workers, so that it can catch their mistakes: its books are maps from
// price to queue, it reads with streams. Exit codes: 0 done, 1 the table cannot be written, 2 usage
// or an input that cannot be read.

#include <algorithm>
#include <cstdint>
#include <deque>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace {

struct waiting_order {
  std::uint64_t number;
  std::uint64_t quantity;
};

struct market {
  std::map<std::uint64_t, std::deque<waiting_order>, std::greater<>> bids;
  std::map<std::uint64_t, std::deque<waiting_order>> asks;
  std::uint64_t orders = 0;
  std::uint64_t trades = 0;
  std::uint64_t quantity = 0;
  std::uint64_t turnover = 0;
  std::uint64_t digest = 14695981039346656037ULL;  // FNV-1a

  void report(std::uint64_t maker, std::uint64_t price, std::uint64_t amount) {
    ++trades;
    quantity += amount;
    turnover += price * amount;
    std::ostringstream line;
    line << orders << ' ' << maker << ' ' << price << ' ' << amount << '\n';
    for (const char byte : line.str()) {
      digest ^= static_cast<std::uint8_t>(byte);
      digest *= 1099511628211ULL;
    }
  }

  // The order that came last takes from `levels`, best price first, as long as `fits` a price.
  template <class Levels, class Fits>
  std::uint64_t take(Levels& levels, std::uint64_t amount, Fits fits) {
    while (amount > 0 && !levels.empty() && fits(levels.begin()->first)) {
      auto& [price, queue] = *levels.begin();
      const std::uint64_t part = std::min(amount, queue.front().quantity);
      report(queue.front().number, price, part);
      amount -= part;
      queue.front().quantity -= part;
      if (queue.front().quantity == 0) queue.pop_front();
      if (queue.empty()) levels.erase(levels.begin());
    }
    return amount;
  }

  void buy(std::uint64_t limit, std::uint64_t amount) {
    ++orders;
    amount = take(asks, amount, [limit](std::uint64_t price) { return price <= limit; });
    if (amount > 0) bids[limit].push_back({orders, amount});
  }

  void sell(std::uint64_t limit, std::uint64_t amount) {
    ++orders;
    amount = take(bids, amount, [limit](std::uint64_t price) { return price >= limit; });
    if (amount > 0) asks[limit].push_back({orders, amount});
  }
};

int fail(int code, const std::string& what) {
  std::cerr << "orders_oracle: " << what << '\n';
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return fail(2, "usage: orders_oracle INPUT");
  std::ifstream input(argv[1]);
  if (!input) return fail(2, std::string("cannot read ") + argv[1]);
  std::map<std::string, market> markets;
  std::string symbol;
  std::string side;
  std::uint64_t price = 0;
  std::uint64_t quantity = 0;
  while (input >> symbol >> side >> price >> quantity) {
    if (side == "buy") {
      markets[symbol].buy(price, quantity);
    } else {
      markets[symbol].sell(price, quantity);
    }
  }
  if (!input.eof()) return fail(2, std::string("cannot understand ") + argv[1]);

  std::vector<std::pair<std::uint64_t, std::string>> rows{{0, "violations"}};
  for (const auto& [name, each] : markets) {
    rows.emplace_back(each.orders, name + " orders");
    if (each.trades == 0) continue;
    rows.emplace_back(each.trades, name + " trades");
    rows.emplace_back(each.quantity, name + " quantity");
    rows.emplace_back(each.turnover, name + " turnover");
    rows.emplace_back(each.digest, name + " digest");
  }
  std::sort(rows.begin(), rows.end(), [](const auto& left, const auto& right) {
    return left.first != right.first ? left.first > right.first : left.second < right.second;
  });
  for (const auto& [value, name] : rows) std::cout << value << '\t' << name << '\n';
  std::cout.flush();
  return std::cout ? 0 : fail(1, "cannot write the table");
}
