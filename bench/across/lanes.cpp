// Lanes without turns: a record, the store that publishes it, and nothing else.
#include "across/cases.hpp"
#include "across/system.hpp"

namespace cyto::bench {
namespace {

class lane_link {
 public:
  lane_link(std::size_t bytes, std::uint64_t lane_bytes)
      : bytes_(bytes), system_(make_system(lane_bytes)) {}

  class end {
   public:
    end(const segment& where, bool is_near, std::size_t bytes)
        : place_(where, is_near), bytes_(bytes), stamp_(place_.the_turn().commit_word()) {}
    void send(std::uint64_t number) noexcept {
      write_payload(payload_, bytes_, number);
      lane_writer& lane = place_.out().lane;
      while (lane.append(payload_, static_cast<std::uint32_t>(bytes_), 1, 8) != status::ok) {
        relax();
      }
      lane.seal(++stamp_);
      place_.held().own().commit.publish(stamp_);
      hold_back_compiler();
      lane.announce(stamp_);
    }
    std::uint64_t receive() noexcept {
      lane_reader& lane = place_.in().lane;
      message_view view;
      while (lane.peek(view) != look::message) relax();
      const std::uint64_t number = read_payload(view.data, view.size);
      lane.take(view);
      lane.give_back();
      return number;
    }
    void finish() noexcept {}

   private:
    player_slot place_;
    std::size_t bytes_;
    std::uint64_t stamp_;
    std::byte payload_[4096];
  };
  end near() { return {system_, true, bytes_}; }
  end far() { return {system_, false, bytes_}; }

 private:
  std::size_t bytes_;
  segment system_;
};

constexpr std::uint64_t lane_bytes = 64 << 10;
constexpr std::uint64_t long_lane_bytes = 1 << 20;

}  // namespace

void add_lanes(std::vector<test_case>& to) {
  const std::string line = "floor/line/spin/48";
  to.push_back({"lane", "raw", "spin", 48, figure::round_p50, line,
                rounds<lane_link>(std::size_t{48}, lane_bytes)});
  for (const std::size_t bytes : {248U, 1024U}) {
    to.push_back({"lane", "raw", "spin", bytes, figure::round_p50,
                  "floor/ring/spin/" + std::to_string(bytes),
                  rounds<lane_link>(bytes, lane_bytes)});
  }
  to.push_back({"lane",
                "one_thread",
                "spin",
                48,
                figure::round_p50,
                {},
                in_one_thread<lane_link>(std::size_t{48}, lane_bytes)});
  to.push_back({"lane", "one_way", "spin", 48, figure::per_second, "floor/stream/spin/48",
                stream<lane_link>(std::size_t{48}, long_lane_bytes)});
  to.push_back({"lane",
                "open_loop",
                "spin",
                48,
                figure::delay_p50,
                {},
                at_rate<lane_link>(100e3, std::size_t{48}, long_lane_bytes)});
}

}  // namespace cyto::bench
