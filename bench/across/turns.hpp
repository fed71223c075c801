// A link whose ends run turns: take, change a cell, send, commit.
#pragma once

#include <stdexcept>

#include "across/measure.hpp"
#include "across/system.hpp"

namespace cyto::bench {

template <class Message>
class turn_link {
 public:
  turn_link(std::size_t bytes, std::uint64_t lane_bytes, std::uint32_t silent = 0,
            std::size_t batch = 1, bool is_traced = false)
      : bytes_(bytes), batch_(batch), system_(make_system(lane_bytes, silent, is_traced)) {}

  class end {
   public:
    end(const segment& where, bool is_near, std::size_t bytes, std::size_t batch)
        : place_(where, is_near), message_(bytes), bytes_(bytes), batch_(batch) {}

    // Ends the turn in which the message before was taken, if there was one.
    void send(std::uint64_t number) {
      wait_for_room();
      if (message_.send(place_.the_turn(), place_.out(), number) != status::ok) {
        throw std::runtime_error("a message found no room where there was some");
      }
      if (++sent_ >= batch_) finish();
    }
    void finish() {
      place_.the_turn().commit();
      sent_ = taken_ = 0;
    }
    std::uint64_t receive() {
      turn& in = place_.the_turn();
      mailbox& incoming = place_.held().incoming();
      message_view view;
      turn_input* from = nullptr;
      if (taken_ == taken_max) finish();
      while ((from = incoming.next(view)) == nullptr) {
        if (taken_ != 0) finish();
        relax();
      }
      in.take(*from, view);
      const std::uint64_t number = Message::read(view);
      place_.cell().add(in, 1);
      turn::consume(*from, view);
      incoming.taken(*from);
      ++taken_;
      return number;
    }

   private:
    static constexpr std::size_t taken_max = 256;
    // What the turn has staged so far leaves first.
    void wait_for_room() {
      lane_writer& lane = place_.out().lane;
      const std::uint64_t wanted = round_up(bytes_, line_bytes) + 4 * line_bytes;
      while (lane.room_seen() < wanted && lane.room() < wanted) {
        if (sent_ != 0 || taken_ != 0) finish();
        relax();
      }
    }
    player_slot place_;
    Message message_;
    std::size_t bytes_;
    std::size_t batch_;
    std::size_t sent_ = 0;
    std::size_t taken_ = 0;
  };
  end near() { return {system_, true, bytes_, batch_}; }
  end far() { return {system_, false, bytes_, batch_}; }

 private:
  std::size_t bytes_;
  std::size_t batch_;
  segment system_;
};

}  // namespace cyto::bench
