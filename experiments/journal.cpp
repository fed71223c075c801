#include "journal.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <ostream>
#include <span>
#include <stdexcept>
#include <utility>
#include <vector>

namespace cyto::experiment {
namespace {

constexpr std::uint64_t number_mask = (std::uint64_t{1} << 48) - 1;

// The part of a worker's log that its turns have committed.
std::span<const log_entry> committed(const stage& from, std::uint32_t slot) {
  const std::string name = from.where().slot(slot).group;
  return from.told().log_of(slot).first(from.cell(name, "entries"));
}

// Calls visit(entry, is_last): whether its turn ends after it.
template <class F>
void each_entry(std::span<const log_entry> log, F visit) {
  for (std::size_t i = 0; i < log.size(); ++i) {
    visit(log[i], i + 1 == log.size() || log[i + 1].turn != log[i].turn);
  }
}

std::vector<std::uint32_t> bits_of(std::uint32_t targets) {
  std::vector<std::uint32_t> out;
  for (std::uint32_t slot = 0; slot < 32; ++slot) {
    if ((targets >> slot & 1U) != 0) out.push_back(slot);
  }
  return out;
}

const char* word_of(happened what) {
  switch (what) {
    case happened::send:
      return "send";
    case happened::deliver:
      return "deliver";
    case happened::crash:
      return "crash";
    case happened::drop:
      return "drop";
  }
  return "?";
}

}  // namespace

tools::trace trace_of(const stage& from) {
  tools::trace out;
  const std::uint32_t slots = from.where().slot_count();
  std::vector<std::uint32_t> first(slots);  // Of each sender's messages.
  for (std::uint32_t slot = 0; slot < slots; ++slot) {
    const std::string name = from.where().slot(slot).group;
    out.nodes.push_back(name);
    first[slot] = static_cast<std::uint32_t>(out.messages.size());
    const std::uint64_t sent = from.cell(name, "sent");
    for (std::uint64_t i = 0; i < sent; ++i) out.messages.push_back(fmt::format("{}#{}", name, i));
  }
  out.events.resize(slots);
  for (std::uint32_t slot = 0; slot < slots; ++slot) {
    auto& events = out.events[slot];
    const auto add = [&events](tools::trace_what what) -> tools::trace_event& {
      tools::trace_event& made = events.emplace_back();
      made.i = events.size();
      made.what = what;
      return made;
    };
    each_entry(committed(from, slot), [&](const log_entry& each, bool is_last) {
      if (each.what == happened::crash) {
        add(tools::trace_what::crash);
      } else {
        auto& made = add(each.what == happened::send      ? tools::trace_what::send
                         : each.what == happened::deliver ? tools::trace_what::deliver
                                                          : tools::trace_what::drop);
        made.message =
            first[each.message >> 48] + static_cast<std::uint32_t>(each.message & number_mask);
        made.to = bits_of(each.targets);
      }
      if (is_last) add(tools::trace_what::commit);
    });
  }
  return out;
}

void write_trace(const stage& from, const std::string& prefix, std::ostream& to) {
  const auto name = [&](std::uint32_t slot) { return prefix + from.where().slot(slot).group; };
  for (std::uint32_t slot = 0; slot < from.where().slot_count(); ++slot) {
    std::uint64_t i = 0;
    const std::string head = fmt::format(R"({{"node":"{}","i":)", name(slot));
    each_entry(committed(from, slot), [&](const log_entry& each, bool is_last) {
      std::string line = fmt::format(R"({}{},"event":"{}")", head, ++i, word_of(each.what));
      if (each.what != happened::crash) {
        const auto sender = static_cast<std::uint32_t>(each.message >> 48);
        const std::uint64_t number = each.message & number_mask;
        line += fmt::format(R"(,"msg":"{}#{}","from":"{}","seq":{})", name(sender), number,
                            name(sender), number);
      }
      if (each.targets != 0) {
        std::string list;
        for (const std::uint32_t target : bits_of(each.targets)) {
          list += fmt::format(R"({}"{}")", list.empty() ? "" : ",", name(target));
        }
        line += fmt::format(R"(,"to":[{}])", list);
      }
      if (each.stamp != 0) line += fmt::format(R"(,"stamp":{})", each.stamp);
      to << line << "}\n";
      if (is_last) to << head << ++i << ",\"event\":\"commit\"}\n";
    });
  }
}

judged judge(const stage& of, const std::string& prefix, const std::string& trace_path,
             bool is_window) {
  judged out;
  out.seconds = of.seconds();
  out.kills = of.kills();
  out.unaccounted = of.unaccounted();
  out.lanes_say = of.delivered();
  if (!trace_path.empty()) {
    std::ofstream to(trace_path, std::ios::app);
    write_trace(of, prefix, to);
    to.close();
    if (!to) throw std::runtime_error("the trace cannot be written to " + trace_path);
  }
  const std::uint64_t began = now_ns();
  out.verdict = tools::check_trace(trace_of(of), is_window);
  out.judging_s = static_cast<double>(now_ns() - began) * 1e-9;
  return out;
}

void add_laws(result& to, const judged& of, const std::string& run) {
  const auto add = [&](const std::string& what, std::uint64_t value) {
    to.checks.push_back({check_kind::law, fmt::format("{} ({})", what, run),
                         static_cast<double>(value), true, 0, ""});
  };
  add("findings", of.verdict.findings);
  add("deliveries in which lanes and logs differ", apart(of.lanes_say, of.verdict.delivered));
  add("messages accepted and neither delivered nor dropped", of.unaccounted);
}

}  // namespace cyto::experiment
