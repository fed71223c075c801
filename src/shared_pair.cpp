// The sender's end of a pair as the outlet of a shared port.
#include "cyto/shared_port.hpp"

namespace cyto::detail {
namespace {

class pair_outlet final : public outlet {
 public:
  explicit pair_outlet(pair_end end)
      : end_(std::move(end)), lane_bytes_(end_.lane().lane.capacity_bytes()) {}

  // As lane_writer decides it: one line more is kept for the zero below the newest record.
  [[nodiscard]] bool fits(std::uint32_t, std::uint32_t bytes,
                          std::size_t alignment) const noexcept override {
    return record_bytes(bytes, header_bytes_of(bytes, alignment)) + line_bytes <= lane_bytes_;
  }
  status stage(std::uint32_t, const void* data, std::uint32_t bytes, std::uint32_t kind,
               std::size_t alignment) noexcept override {
    return end_.place().the_turn().send_bytes(end_.lane(), data, bytes, kind, alignment);
  }
  void commit() noexcept override { end_.send_raw(status::ok); }
  status abort() noexcept override { return end_.send_raw(status::full); }
  void wait_for_room(time_limit at_most) override { end_.wait_for_room(at_most); }
  status drain(time_limit at_most) override {
    if (end_.drain(at_most)) return status::ok;
    return end_.peer_is_gone() ? status::closed : status::full;
  }

 private:
  pair_end end_;
  std::uint64_t lane_bytes_;
};

}  // namespace

std::unique_ptr<outlet> outlet_of(pair_end end) {
  return std::make_unique<pair_outlet>(std::move(end));
}

}  // namespace cyto::detail
