// A port that has joined a system as the outlet of a shared port.
#include "cyto/shared_port.hpp"

namespace cyto {
namespace {

class port_outlet final : public outlet {
 public:
  explicit port_outlet(detail::port_end end) : end_(std::move(end)) {}

  [[nodiscard]] bool fits(std::uint32_t target, std::uint32_t bytes,
                          std::size_t alignment) const noexcept override {
    if (target >= lanes_.size()) return false;
    // As lane_writer decides it: one line more is kept for the zero below the newest record.
    const std::uint64_t length = record_bytes(bytes, header_bytes_of(bytes, alignment));
    return length + line_bytes <= lanes_[target]->lane.capacity_bytes();
  }
  status stage(std::uint32_t target, const void* data, std::uint32_t bytes, std::uint32_t kind,
               std::size_t alignment) noexcept override {
    if (!in_turn_ && !end_.begin_turn()) return status::closed;
    in_turn_ = true;
    return end_.place().the_turn().send_bytes(*lanes_[target], data, bytes, kind, alignment);
  }
  void commit() noexcept override {
    end_.end_turn();
    in_turn_ = false;
  }
  status abort() noexcept override {
    if (!in_turn_) return status::closed;
    in_turn_ = false;
    return end_.end_turn();  // It is doomed, and so undone.
  }
  void wait_for_room(time_limit at_most) override { end_.wait_for_room(at_most); }
  status drain(time_limit at_most) override { return end_.drain(at_most); }

 private:
  detail::port_end end_;
  std::span<const std::unique_ptr<turn_output>> lanes_ = end_.place().the_turn().outputs();
  bool in_turn_ = false;
};

}  // namespace

shared_joined_port::shared_joined_port(detail::port_end end, const shared_port_options& options)
    : place_(&end.checked_place()), port_(detail::outlet_of(std::move(end)), options) {}

std::unique_ptr<outlet> detail::outlet_of(port_end end) {
  return std::make_unique<port_outlet>(std::move(end));
}

}  // namespace cyto
