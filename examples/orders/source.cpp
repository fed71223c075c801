// Reads orders, one a line: `SYMBOL buy|sell PRICE QUANTITY`. Numbers them within their symbol and
// sends each to the matcher that keeps the symbol's book, and to the ledger. What it has read and
// the numbers are cells, so each order is sent exactly once however often this process is killed.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cyto/cyto.hpp>
#include <memory>
#include <string>
#include <string_view>

#include "orders_generated.h"

namespace {

constexpr std::size_t symbol_bytes_max = 15;
constexpr int turn_orders_max = 64;

// Cuts the word before the next blank off `line`.
std::string_view word_of(std::string_view& line) {
  const std::string_view word = line.substr(0, line.find(' '));
  line.remove_prefix(std::min(line.size(), word.size() + 1));
  return word;
}

bool read_number(std::string_view text, std::uint16_t& number) {
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
  return problem == std::errc() && end == text.data() + text.size() && number != 0;
}

bool is_symbol(std::string_view text) {
  return !text.empty() && text.size() <= symbol_bytes_max &&
         std::all_of(text.begin(), text.end(), [](char byte) {
           return (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9');
         });
}

class source {
 public:
  explicit source(cyto::worker& self)
      : self_(&self),
        name_(self.setting("input_name")),
        matchers_(self.to("matcher")),
        ledger_(self.to("ledger")),
        position_(self.cell<cyto::last_writer>("position")) {
    fd_ = ::open(self.setting("input").c_str(), O_RDONLY | O_CLOEXEC);
    struct stat info {};
    if (fd_ < 0 || fstat(fd_, &info) != 0) refuse_errno();
    size_ = static_cast<std::uint64_t>(info.st_size);
  }

  cyto::produced produce(cyto::turn& turn) {
    const std::uint64_t begin = position_.value();
    std::string_view text = read_at(begin);
    std::uint64_t at = begin;
    for (int i = 0; i < turn_orders_max && !turn.is_nearly_full(); ++i) {
      const std::size_t end = text.find('\n');
      if (end == std::string_view::npos) break;
      send(turn, text.substr(0, end), at);
      text.remove_prefix(end + 1);
      at += end + 1;
    }
    // Only a line that the block does not hold, or that lacks its newline, leaves the place as it
    // is.
    if (at == begin && at != size_) refuse(at, "is no order");
    position_.set(turn, at);
    self_->progress(at, size_);
    return at == size_ ? cyto::produced::finished : cyto::produced::more;
  }

 private:
  void send(cyto::turn& turn, std::string_view line, std::uint64_t at) {
    const std::string_view symbol = word_of(line);
    const std::string_view side = word_of(line);
    std::uint16_t price = 0;
    std::uint16_t quantity = 0;
    if (!is_symbol(symbol) || (side != "buy" && side != "sell") ||
        !read_number(word_of(line), price) || !read_number(word_of(line), quantity) ||
        !line.empty()) {
      refuse(at, "is no order");
    }
    const auto sent = self_->cell<cyto::counter>(symbol);
    sent.add(turn, 1);
    const auto build = [&](flatbuffers::FlatBufferBuilder& fbb) {
      const auto text = fbb.CreateString(symbol);
      return orders::CreateOrder(fbb, text, static_cast<std::uint32_t>(sent.value()), side == "buy",
                                 price, quantity);
    };
    turn.send<orders::Order>(matchers_.by_key(cyto::hash_bytes(symbol)), build);
    turn.send<orders::Order>(ledger_.member(0), build);
  }

  std::string_view read_at(std::uint64_t at) {
    for (;;) {
      const ssize_t bytes = pread(fd_, block_.data(), block_.size(), static_cast<off_t>(at));
      if (bytes >= 0) return {block_.data(), static_cast<std::size_t>(bytes)};
      if (errno != EINTR) refuse_errno();
    }
  }

  [[noreturn]] void refuse(std::uint64_t at, const std::string& value) const {
    throw cyto::error(cyto::error_code::bad_input, "input " + name_,
                      "the line at byte " + std::to_string(at) + " " + value,
                      "an order is `SYMBOL buy|sell PRICE QUANTITY`, numbers from 1 to 65,535, a "
                      "symbol 1 to 15 of A-Z 0-9",
                      "correct it");
  }

  [[noreturn]] void refuse_errno() const {
    cyto::throw_errno(errno, cyto::error_code::bad_input, "input " + name_, "cannot be read");
  }

  cyto::worker* self_;
  std::string name_;
  cyto::output matchers_;
  cyto::output ledger_;
  cyto::last_writer position_;  // Bytes of the input whose orders are sent.
  int fd_ = -1;
  std::uint64_t size_ = 0;
  std::array<char, 8192> block_{};
};

}  // namespace

int main(int argc, char** argv) {
  return cyto::worker_main(argc, argv, [](cyto::worker& self) {
    const auto here = std::make_shared<source>(self);
    self.source([here](cyto::turn& turn) { return here->produce(turn); });
  });
}
