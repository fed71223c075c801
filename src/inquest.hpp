// What a supervisor makes of the end of a worker: a report for whoever asks why, and whether the
// message that was in hand is to blame.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "cyto/segment.hpp"

namespace cyto {

struct verdict {
  std::uint32_t deaths = 0;   // That the message in hand has caused; 0: none is to blame.
  bool set_aside = false;     // The successor will put it into its quarantine.
  std::uint32_t mended = 0;   // Deaths that will not come again: they need no restart intensity.
  std::string circumstances;  // "; at address 0x8; in hand was ..."
  std::string failure;        // Why the job cannot go on, if it cannot.
};

class inquest {
 public:
  // REQUIRES: the supervisor's lock is held.
  inquest(const segment& where, std::uint32_t quarantine_after);

  // Of a worker that the kernel says is gone, before a successor is started. `status` is the wait
  // status, if this process is the one that was told. `hung`: it was killed because its turn did
  // not end, which speaks against the message in hand as a crash does.
  verdict hold(std::uint32_t slot_index, std::uint32_t pid, std::optional<int> status, bool hung);
  // Of one whose end came while nobody supervised; nothing if its predecessor has done it.
  void hold_late(std::uint32_t slot_index);

 private:
  struct exhibit;
  [[nodiscard]] exhibit find_exhibit(std::uint32_t slot_index) const;
  void blame_message(const exhibit& what, std::uint32_t slot_index, int status, verdict& out);
  void blame_retry(const exhibit& what, std::uint32_t slot_index, int status, verdict& out);
  void write_report(const exhibit& what, std::uint32_t slot_index, std::uint32_t pid,
                    std::optional<int> status, const verdict& found);

  const segment* where_;
  mapping pages_;
  errand_line* errands_;
  suspect* suspects_;
  death_report* reports_;
  std::uint32_t quarantine_after_;
};

}  // namespace cyto
