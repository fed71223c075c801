// The kinds of messages that turns are measured with: how each is built, and how it is read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "across/payload.hpp"
#include "bench_generated.h"
#include "cyto/turn.hpp"

namespace cyto::bench {

// Bytes without a type.
class raw_message {
 public:
  explicit raw_message(std::size_t bytes) : payload_(bytes) {}
  status send(turn& in, turn_output& to, std::uint64_t number) noexcept {
    write_payload(payload_.data(), payload_.size(), number);
    return in.send_bytes(to, payload_.data(), static_cast<std::uint32_t>(payload_.size()), 1);
  }
  static std::uint64_t read(const message_view& view) noexcept {
    return read_payload(view.data, view.size);
  }

 private:
  std::vector<std::byte> payload_;
};

// A table of four fields, built by the builder each time.
class built56 {
 public:
  explicit built56(std::size_t) {}
  static status send(turn& in, turn_output& to, std::uint64_t number) {
    return in.send<Message56>(
        to, [&](auto& fbb) { return CreateMessage56(fbb, number, number + 1, number + 2, 3); });
  }
  static std::uint64_t read(const message_view& view) noexcept {
    const auto* message = open_message<Message56>(view);
    if (message == nullptr) return stop_number - 1;
    const std::uint64_t number = message->number();
    const bool right = message->a() + message->b() + message->c() == 2 * number + 6;
    return right ? number : stop_number - 1;
  }
};

// The same table, built once, its fields set before each time it is sent.
class template56 {
 public:
  explicit template56(std::size_t)
      : message_([](auto& fbb) { return CreateMessage56(fbb, 1, 2, 3, 3); }) {}
  status send(turn& in, turn_output& to, std::uint64_t number) {
    message_->mutate_number(number);
    message_->mutate_a(number + 1);
    message_->mutate_b(number + 2);
    return in.send(to, message_);
  }
  static std::uint64_t read(const message_view& view) noexcept { return built56::read(view); }

 private:
  prebuilt<Message56> message_;
};

// A table of 23 fields.
class built248 {
 public:
  explicit built248(std::size_t) {}
  static status send(turn& in, turn_output& to, std::uint64_t n) {
    return in.send<Message248>(to, [&](auto& fbb) {
      return CreateMessage248(fbb, n, n + 1, n + 2, n + 3, n + 4, n + 5, n + 6, n + 7, n + 8, n + 9,
                              n + 10, n + 11, n + 12, n + 13, n + 14, n + 15, n + 16, n + 17,
                              n + 18, n + 19, n + 20, n + 21, n + 22);
    });
  }
  static std::uint64_t read(const message_view& view) noexcept {
    const auto* m = open_message<Message248>(view);
    if (m == nullptr) return stop_number - 1;
    const std::uint64_t number = m->number();
    const std::uint64_t sum = m->a() + m->b() + m->c() + m->d() + m->e() + m->f() + m->g() +
                              m->h() + m->i() + m->j() + m->k() + m->l() + m->m() + m->n() +
                              m->o() + m->p() + m->q() + m->r() + m->s() + m->t() + m->u() + m->v();
    return sum == 22 * number + 253 ? number : stop_number - 1;
  }
};

// A vector of words, filled where it lies.
class built_words {
 public:
  // `bytes` of the vector and its number.
  explicit built_words(std::size_t bytes) : words_(bytes / 8 - 1) {}
  status send(turn& in, turn_output& to, std::uint64_t number) const {
    return in.send<Words>(to, [&](auto& fbb) {
      std::uint64_t* words = nullptr;
      const auto vector = fbb.template CreateUninitializedVector<std::uint64_t>(words_, &words);
      write_payload(reinterpret_cast<std::byte*>(words), words_ * 8, number);
      return CreateWords(fbb, number, vector);
    });
  }
  static std::uint64_t read(const message_view& view) noexcept {
    const auto* message = open_message<Words>(view);
    if (message == nullptr || message->words() == nullptr) return stop_number - 1;
    const auto* bytes = reinterpret_cast<const std::byte*>(message->words()->data());
    const std::size_t size = message->words()->size() * 8;
    const bool right = sum_of(bytes, size) == right_sum(size, message->number());
    return right ? message->number() : stop_number - 1;
  }

 private:
  std::size_t words_;
};

// The same, of which the reader looks at the number only; and the writer writes nothing else, so
// that what is measured is what the transport itself moves.
class glanced_words {
 public:
  explicit glanced_words(std::size_t bytes) : words_(bytes / 8 - 1) {}
  status send(turn& in, turn_output& to, std::uint64_t number) const {
    return in.send<Words>(to, [&](auto& fbb) {
      std::uint64_t* words = nullptr;
      const auto vector = fbb.template CreateUninitializedVector<std::uint64_t>(words_, &words);
      return CreateWords(fbb, number, vector);
    });
  }
  static std::uint64_t read(const message_view& view) noexcept {
    const auto* message = open_message<Words>(view);
    return message == nullptr ? stop_number - 1 : message->number();
  }

 private:
  std::size_t words_;
};

// About so many bytes of small tables, sent by copy; the reader looks at the number only, so that
// between verified and not there is nothing but the verifying.
template <bool is_verified>
class many_rows {
 public:
  explicit many_rows(std::size_t bytes)
      : message_([bytes](auto& fbb) {
          std::vector<flatbuffers::Offset<Row>> rows;
          while (fbb.GetSize() + 4 * rows.size() + 64 < bytes) {
            rows.push_back(CreateRow(fbb, fbb.CreateString("a name"), rows.size()));
          }
          return CreateRows(fbb, 1, fbb.CreateVector(rows));
        }) {}
  status send(turn& in, turn_output& to, std::uint64_t number) {
    message_->mutate_number(number);
    return in.send(to, message_);
  }
  static std::uint64_t read(const message_view& view) noexcept {
    const auto* message = open_message<Rows>(view, is_verified);
    return message == nullptr ? stop_number - 1 : message->number();
  }
  [[nodiscard]] message_view view() const noexcept {
    return {static_cast<const std::byte*>(message_.data()), message_.size(), 0, 0, 0};
  }

 private:
  prebuilt<Rows> message_;
};

}  // namespace cyto::bench
