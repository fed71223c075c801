#include "inspection.hpp"

#include <algorithm>

#include "cyto/lane.hpp"

namespace cyto {
namespace {

constexpr unsigned looks_enough = 2;
constexpr unsigned looks_between = 8;  // A walk through a large lane is not for every look.

constexpr char advice[] = "stop the system and start it again";

std::string name_of(const segment& of, const lane_entry& lane) {
  return "lane " + std::string(of.slot(lane.writer_slot).name) + " -> " +
         of.slot(lane.reader_slot).name;
}

struct ends {
  versioned<3>::values taken{};
  versioned<3>::values sent{};
  bool good = false;

  [[nodiscard]] bool all_is_taken() const { return good && taken[1] + taken[2] == sent[1]; }
};

ends ends_of(const segment& of, const lane_entry& lane) {
  ends out;
  std::uint64_t at = 0;
  out.good = of.input_of(lane).taken.read(of.control_of(lane.reader_slot).commit, out.taken, at) &&
             of.output_of(lane).sent.read(of.control_of(lane.writer_slot).commit, out.sent, at);
  return out;
}

}  // namespace

bool inspection::any_fenced(const segment& of) noexcept {
  for (std::uint32_t i = 0; i < of.lane_count(); ++i) {
    if (of.input_of(of.lane(i)).fenced.observe() != 0) return true;
  }
  return false;
}

void inspection::tell(error_code code, std::string text) {
  if (!loss_.empty()) return;
  loss_ = std::move(text);
  code_ = code == error_code::bad_input ? code : error_code::failed;
}

void inspection::lose(const segment& of, std::uint32_t slot, const std::string& why) {
  slots_.resize(of.slot_count());
  slots_[slot].lost = true;
  tell(error_code::failed,
       why.empty() ? "worker " + std::string(of.slot(slot).name) + ": refuses its memory" : why);
}

void inspection::look_at_slot(const segment& of, std::uint32_t index) {
  const control& own = of.control_of(index);
  slot_seen& seen = slots_[index];
  versioned<7>::values root{};
  std::uint64_t at = 0;
  const bool good = own.commit.observe() <= stamp_max && own.root.read(own.commit, root, at);
  seen.looks = good ? 0 : seen.looks + 1;
  if (seen.lost || seen.looks < looks_enough) return;
  seen.lost = true;
  tell(error_code::failed, "worker " + std::string(of.slot(index).name) +
                               ": its control block contradicts itself; it was overwritten; " +
                               advice);
}

void inspection::look_at_lane(const segment& of, std::uint32_t index) {
  const lane_entry& lane = of.lane(index);
  lane_seen& seen = lanes_[index];
  if (seen.lost) return;
  if (of.input_of(lane).fenced.observe() != 0) {
    seen.lost = true;
    const control& reader = of.control_of(lane.reader_slot);
    const std::uint32_t bytes =
        std::min<std::uint32_t>(reader.failure_bytes.observe(), failure_bytes_max);
    if (bytes != 0) {
      return tell(static_cast<error_code>(reader.failure_code.observe()),
                  name_of(of, lane) + ": is fenced off; it brought " +
                      std::string(reader.failure_text, bytes));
    }
    return tell(error_code::failed, name_of(of, lane) +
                                        ": is fenced off; a record in it makes no sense; its "
                                        "writer's memory was overwritten; " +
                                        advice);
  }
  ends now = ends_of(of, lane);
  if (!now.good) now.taken[0] = now.sent[0] = ~std::uint64_t{0};
  if (now.taken[0] != seen.read || now.sent[0] != seen.written) {
    seen = {now.taken[0], now.sent[0], 0, false};
    has_moved_ = true;
    return;
  }
  // Its reader may see nothing of what is wrong, but for a record that does not come.
  if (++seen.looks % looks_between != looks_enough) return;
  if (now.all_is_taken() && now.taken[0] == now.sent[0]) return;
  if (lane_of(of, index).balanced) return;
  seen.lost = true;
  tell(error_code::failed, name_of(of, lane) +
                               ": its records do not add up to what its ends account for; memory "
                               "was overwritten; " +
                               advice);
}

void inspection::look(const segment& of) {
  slots_.resize(of.slot_count());
  lanes_.resize(of.lane_count());
  has_moved_ = false;
  for (std::uint32_t i = 0; i < of.slot_count(); ++i) look_at_slot(of, i);
  for (std::uint32_t i = 0; i < of.lane_count(); ++i) look_at_lane(of, i);
  if (!loss_.empty()) judge_the_rest(of);
}

void inspection::judge_the_rest(const segment& of) {
  std::vector<bool> believed(of.slot_count());
  for (std::uint32_t i = 0; i < of.slot_count(); ++i) believed[i] = !slots_[i].lost;
  for (std::uint32_t i = 0; i < of.lane_count(); ++i) {
    if (lanes_[i].lost) believed[of.lane(i).writer_slot] = false;
  }
  bool at_end = true;
  std::uint64_t stamps = 0;
  for (std::uint32_t i = 0; i < of.slot_count(); ++i) {
    if (!believed[i]) continue;
    const control& own = of.control_of(i);
    stamps += own.commit.observe();
    const bool has_more = own.finished.observe() == static_cast<std::uint32_t>(source_end::none);
    if ((of.slot(i).flags & slot_is_source) != 0 && has_more) at_end = false;
  }
  // Whether somebody waits for room that a lost part will not give. Who has nothing to do does not.
  bool somebody_waits = false;
  for (std::uint32_t i = 0; i < of.lane_count(); ++i) {
    const lane_entry& lane = of.lane(i);
    const bool is_dead_end = lanes_[i].lost || !believed[lane.reader_slot];
    if (is_dead_end && believed[lane.writer_slot]) {
      const lane_status now = lane_of(of, i);
      somebody_waits = somebody_waits || now.backlog_bytes > now.lane_bytes / 2;
    }
    if (is_dead_end || ends_of(of, lane).all_is_taken()) continue;
    at_end = false;
    somebody_waits = true;
  }
  still_ = stamps == stamps_ ? still_ + 1 : 0;
  stamps_ = stamps;
  is_over_ = at_end || (somebody_waits && still_ >= looks_enough);
}

}  // namespace cyto
