#include "trace_formats.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <set>

namespace cyto::tools {
namespace {

const char* text_of(trace_what what) {
  switch (what) {
    case trace_what::send:
      return "send";
    case trace_what::deliver:
      return "deliver";
    case trace_what::drop:
      return "drop";
    case trace_what::commit:
      return "commit";
    case trace_what::crash:
      return "crash";
  }
  return "unknown";
}

using text = fmt::memory_buffer;

// Names of workers and messages have no character that JSON or dot would want escaped.
void put_step(text& to, const traced_system& from, const traced_worker& by, const traced_turn& turn,
              const traced_step& step) {
  const traced_lane& lane = from.lanes[step.lane];
  auto at = std::back_inserter(to);
  fmt::format_to(at, R"({{"node":"{}","i":{},"event":"{}","msg":"{}")", by.name, step.number,
                 text_of(step.what), from.message_name(step));
  if (step.what == trace_what::send) {
    fmt::format_to(at, R"(,"to":["{}"],"seq":{},"kind":{},"bytes":{})",
                   from.workers[lane.reader].name, step.position / line_bytes, step.kind,
                   step.bytes);
  } else {
    fmt::format_to(at, R"(,"from":"{}","seq":{},"kind":{})", from.workers[lane.writer].name,
                   step.position / line_bytes, step.kind);
  }
  if (turn.is_committed) fmt::format_to(at, R"(,"stamp":{})", turn.stamp);
  fmt::format_to(at, "}}\n");
}

// ---- chrome ----

class chrome_writer {
 public:
  explicit chrome_writer(const traced_system& from) : from_(&from) {
    begin_ns_ = ~std::uint64_t{0};
    for (const traced_worker& worker : from.workers) {
      for (const traced_turn& turn : worker.turns) {
        begin_ns_ = std::min(begin_ns_, turn.is_committed ? turn.began_ns : turn.ended_ns);
        if (!turn.is_committed) continue;
        for (const traced_step& step : worker.steps_of(turn)) {
          if (step.what == trace_what::send) senders_[{step.lane, step.position}] = &turn;
          if (step.what == trace_what::deliver) delivered_.insert({step.lane, step.position});
        }
      }
    }
  }

  std::string write() {
    put(R"("ph":"M","name":"process_name","pid":1,"tid":0,"args":{{"name":"{}"}})", from_->name);
    for (std::uint32_t slot = 0; slot < from_->workers.size(); ++slot) {
      put(R"("ph":"M","name":"thread_name","pid":1,"tid":{},"args":{{"name":"{}"}})", slot + 1,
          from_->workers[slot].name);
      for (const traced_turn& turn : from_->workers[slot].turns) put_turn(slot, turn);
    }
    return R"({"displayTimeUnit":"ns","traceEvents":[)" + fmt::to_string(out_) + "\n]}\n";
  }

 private:
  using key = std::pair<std::uint32_t, std::uint64_t>;

  template <class... Values>
  void put(fmt::format_string<Values...> format, Values&&... values) {
    fmt::format_to(std::back_inserter(out_), "{}\n{{", out_.size() == 0 ? "" : ",");
    fmt::format_to(std::back_inserter(out_), format, std::forward<Values>(values)...);
    out_.push_back('}');
  }
  [[nodiscard]] double us(std::uint64_t at_ns) const {
    return static_cast<double>(at_ns - begin_ns_) / 1e3;
  }
  [[nodiscard]] std::string flow_of(const traced_step& step) const {
    return from_->message_name(step);
  }

  void put_turn(std::uint32_t slot, const traced_turn& turn) {
    const std::uint32_t thread = slot + 1;
    if (!turn.is_committed) {
      put(R"("ph":"i","name":"died","s":"t","pid":1,"tid":{},"ts":{:.3f})", thread,
          us(turn.ended_ns));
      return;
    }
    const auto steps = from_->workers[slot].steps_of(turn);
    const auto count = [&steps](trace_what what) {
      return std::count_if(steps.begin(), steps.end(),
                           [what](const traced_step& each) { return each.what == what; });
    };
    put(R"("ph":"B","name":"turn","cat":"turn","pid":1,"tid":{},"ts":{:.3f},)"
        R"("args":{{"stamp":{},"taken":{},"sent":{}}})",
        thread, us(turn.began_ns), turn.stamp, count(trace_what::deliver), count(trace_what::send));
    // Flows in the order of their times: those that come in, then those that go out.
    std::vector<std::pair<std::uint64_t, const traced_step*>> in;
    for (const traced_step& step : steps) {
      if (step.what != trace_what::deliver) continue;
      const auto sender = senders_.find({step.lane, step.position});
      if (sender == senders_.end()) continue;
      in.emplace_back(std::clamp(sender->second->ended_ns, turn.began_ns, turn.ended_ns), &step);
    }
    std::stable_sort(in.begin(), in.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    for (const auto& [at_ns, step] : in) {
      put(R"("ph":"f","bp":"e","name":"message","cat":"message","id":"{}","pid":1,"tid":{},)"
          R"("ts":{:.3f})",
          flow_of(*step), thread, us(at_ns));
    }
    for (const traced_step& step : steps) {
      if (step.what != trace_what::send || !delivered_.contains({step.lane, step.position})) {
        continue;
      }
      put(R"("ph":"s","name":"message","cat":"message","id":"{}","pid":1,"tid":{},"ts":{:.3f})",
          flow_of(step), thread, us(turn.ended_ns));
    }
    put(R"("ph":"E","pid":1,"tid":{},"ts":{:.3f})", thread, us(turn.ended_ns));
  }

  const traced_system* from_;
  std::uint64_t begin_ns_ = 0;
  std::map<key, const traced_turn*> senders_;  // Of what was sent, by lane and position.
  std::set<key> delivered_;
  text out_;
};

// ---- dot ----

// Whether `to` can be reached from `from`, by one edge or more.
bool reaches(const std::set<std::pair<std::uint32_t, std::uint32_t>>& edges, std::uint32_t from,
             std::uint32_t to) {
  std::set<std::uint32_t> seen;
  std::vector<std::uint32_t> left{from};
  while (!left.empty()) {
    const std::uint32_t at = left.back();
    left.pop_back();
    for (auto each = edges.lower_bound({at, 0}); each != edges.end() && each->first == at; ++each) {
      if (each->second == to) return true;
      if (seen.insert(each->second).second) left.push_back(each->second);
    }
  }
  return false;
}

}  // namespace

std::string jsonl_of(const traced_system& from) {
  text out;
  for (const traced_worker& worker : from.workers) {
    for (const traced_turn& turn : worker.turns) {
      for (const traced_step& step : worker.steps_of(turn)) {
        put_step(out, from, worker, turn, step);
      }
      auto at = std::back_inserter(out);
      if (turn.is_committed) {
        fmt::format_to(at,
                       R"({{"node":"{}","i":{},"event":"commit","stamp":{},"ns":{}}})"
                       "\n",
                       worker.name, turn.number, turn.stamp, turn.ended_ns);
      } else {
        fmt::format_to(at,
                       R"({{"node":"{}","i":{},"event":"crash","ns":{}}})"
                       "\n",
                       worker.name, turn.number, turn.ended_ns);
      }
    }
  }
  return fmt::to_string(out);
}

std::string chrome_of(const traced_system& from) { return chrome_writer(from).write(); }

std::string dot_of(const traced_system& from) {
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::uint64_t> counts;
  for (const traced_worker& worker : from.workers) {
    for (const traced_turn& turn : worker.turns) {
      if (!turn.is_committed) continue;
      for (const traced_step& step : worker.steps_of(turn)) {
        const traced_lane& lane = from.lanes[step.lane];
        if (step.what == trace_what::send) ++counts[{lane.writer, lane.reader}];
      }
    }
  }
  std::set<std::pair<std::uint32_t, std::uint32_t>> edges;
  for (const auto& [edge, count] : counts) edges.insert(edge);
  text out;
  auto at = std::back_inserter(out);
  fmt::format_to(at, "digraph \"{}\" {{\n  rankdir=LR;\n  node [shape=box];\n", from.name);
  for (const traced_worker& worker : from.workers) {
    fmt::format_to(at, "  \"{}\" [label=\"{}\\n{} turns\"];\n", worker.name, worker.name,
                   std::count_if(worker.turns.begin(), worker.turns.end(),
                                 [](const traced_turn& each) { return each.is_committed; }));
  }
  for (const auto& [edge, count] : counts) {
    fmt::format_to(at, "  \"{}\" -> \"{}\" [label=\"{}\"{}];\n", from.workers[edge.first].name,
                   from.workers[edge.second].name, count,
                   reaches(edges, edge.second, edge.first) || edge.first == edge.second
                       ? ", color=red, fontcolor=red"
                       : "");
  }
  fmt::format_to(at, "}}\n");
  return fmt::to_string(out);
}

}  // namespace cyto::tools
