#include "errand_desk.hpp"

#include <fcntl.h>

#include <string>

#include "cyto/doorbell.hpp"
#include "cyto/quarantine.hpp"
#include "verbs.hpp"

namespace cyto {

errand_desk::errand_desk(const segment& where)
    : where_(&where), pages_(where.map_deaths()), bells_(where.map_doorbells()) {
  errands_ = reinterpret_cast<errand_line*>(pages_.data());
}

std::uint64_t errand_desk::answered(std::uint32_t slot_index) const noexcept {
  const control& own = where_->control_of(slot_index);
  versioned<7>::values account{};
  std::uint64_t seen = 0;
  return own.quarantine.read(own.commit, account, seen) ? account[quarantine_answered] : 0;
}

bool errand_desk::take(int connection, const packet& request) {
  const auto value = static_cast<std::uint32_t>(request.value);
  const std::uint32_t slot = value >> errand_slot_shift;
  if (request.value < 0 || slot >= where_->slot_count()) return false;
  if ((where_->slot(slot).flags & slot_is_port) != 0) return false;  // It would never answer.
  errand_line& line = errands_[slot];
  if (line.number.own() != static_cast<std::uint32_t>(answered(slot) >> 8)) return false;
  file kept(fcntl(connection, F_DUPFD_CLOEXEC, 16));
  if (!kept) return false;
  line.what.publish(
      static_cast<std::uint32_t>(request.verb == verb_retry ? errand::retry : errand::drop));
  line.message.publish(value & ((1U << errand_slot_shift) - 1));
  line.number.publish(line.number.own() + 1);
  full_fence();  // D1
  wake(reinterpret_cast<doorbell_line*>(bells_.data())[slot]);
  clients_.push_back({std::move(kept), slot, request});
  return true;
}

void errand_desk::answer_all() {
  std::erase_if(clients_, [this](const client& each) {
    if (has_hung_up(each.connection)) return true;
    const std::uint64_t answer = answered(each.slot);
    if (errands_[each.slot].number.own() != static_cast<std::uint32_t>(answer >> 8)) return false;
    send_packet(each.connection.get(),
                {each.request.verb, static_cast<std::int32_t>(answer & 0xffU)}, {});
    return true;
  });
}

bool errand_desk::is_busy() const noexcept {
  for (std::uint32_t i = 0; i < where_->slot_count(); ++i) {
    if (errands_[i].number.own() != static_cast<std::uint32_t>(answered(i) >> 8)) return true;
  }
  return false;
}

errand_answer run_errand(const std::string& name, std::uint32_t slot_index, std::uint32_t number,
                         errand what, int timeout_ms) {
  const file connection = connect_to(name);
  const std::uint32_t verb = what == errand::retry ? verb_retry : verb_drop;
  const auto value = static_cast<std::int32_t>(slot_index << errand_slot_shift | number);
  packet reply{};
  std::vector<file> unwanted;
  if (!connection || !send_packet(connection.get(), {verb, value}, {})) {
    throw error(error_code::failed, "system " + name, "has no supervisor that could pass this on",
                {}, "start the same `cyto run` to adopt it, then try again");
  }
  if (!receive_packet(connection.get(), reply, unwanted, timeout_ms)) {
    throw error(error_code::failed, "system " + name,
                "gave no answer within " + std::to_string(timeout_ms) + " ms",
                "its supervisor or worker is busy, stopped or gone; the request may still be done",
                "see `cyto quarantine list`");
  }
  if (reply.verb != verb) {
    throw error(error_code::failed, "system " + name, "did not take the request",
                "another one of that worker's is not answered yet", "try again");
  }
  return static_cast<errand_answer>(reply.value);
}

}  // namespace cyto
