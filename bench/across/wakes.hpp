// A link whose ends sleep when there is nothing.
#pragma once

#include "across/measure.hpp"
#include "across/messages.hpp"
#include "across/system.hpp"

namespace cyto::bench {

class parked_link {
 public:
  parked_link(std::size_t bytes, std::uint64_t lane_bytes)
      : bytes_(bytes), system_(make_system(lane_bytes)) {}

  class end {
   public:
    end(const segment& where, bool is_near, std::size_t bytes)
        : place_(where, is_near), message_(bytes) {}
    void send(std::uint64_t number) {
      turn& in = place_.the_turn();
      while (message_.send(in, place_.out(), number) != status::ok) in.abort();
      in.commit();
    }
    void finish() {}
    std::uint64_t receive() {
      turn& in = place_.the_turn();
      mailbox& incoming = place_.held().incoming();
      message_view view;
      turn_input* from = nullptr;
      while ((from = incoming.next(view)) == nullptr) {
        place_.held().bell().prepare();
        if (!incoming.has_any()) place_.held().bell().wait();
        place_.held().bell().cancel();
      }
      in.take(*from, view);
      const std::uint64_t number = raw_message::read(view);
      place_.cell().add(in, 1);
      turn::consume(*from, view);
      incoming.taken(*from);
      return number;
    }

   private:
    player_slot place_;
    raw_message message_;
  };
  end near() { return {system_, true, bytes_}; }
  end far() { return {system_, false, bytes_}; }

 private:
  std::size_t bytes_;
  segment system_;
};

}  // namespace cyto::bench
