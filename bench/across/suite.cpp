#include "across/suite.hpp"

#include <algorithm>
#include <exception>
#include <map>
#include <optional>

#include "across/cases.hpp"

namespace cyto::bench {
namespace {

double figure_of(const test_case& what, const sample& found) {
  if (what.what != figure::per_second) {
    return static_cast<double>(found.times.quantile(0.5)) * ns_per_tick();
  }
  return found.seconds > 0 ? static_cast<double>(found.count) / found.seconds : 0;
}

void add(sample& to, const sample& more) {
  to.times.add(more.times);
  to.count += more.count;
  to.seconds += more.seconds;
  to.cpu_s += more.cpu_s;
  to.switches += more.switches;
  to.lost += more.lost;
}

// The selection, and behind it the floors that it lacks.
std::vector<test_case> with_floors(const std::vector<test_case>& selection) {
  std::vector<test_case> out = selection;
  const std::vector<test_case> all = all_cases();
  for (std::size_t i = 0; i < out.size(); ++i) {
    const std::string floor = out[i].floor;
    const auto is_floor = [&](const test_case& each) { return each.key() == floor; };
    if (floor.empty() || std::any_of(out.begin(), out.end(), is_floor)) continue;
    const auto found = std::find_if(all.begin(), all.end(), is_floor);
    if (found != all.end()) out.push_back(*found);
  }
  return out;
}

}  // namespace

std::vector<test_case> all_cases(const std::filesystem::path& job_input) {
  std::vector<test_case> out;
  add_floors(out);
  add_lanes(out);
  add_turns(out);
  add_mailboxes(out);
  add_wakes(out);
  add_updates(out);
  add_tasks(out);
  add_threads(out);
  add_jobs(out, job_input);
  add_peers(out);
  return out;
}

double median(std::vector<double> of) {
  if (of.empty()) return 0;
  const auto middle = of.begin() + static_cast<std::ptrdiff_t>((of.size() - 1) / 2);
  std::nth_element(of.begin(), middle, of.end());
  return *middle;
}

std::vector<row> run_cases(const std::vector<test_case>& selection, const pace& how, int passes,
                           const std::function<void(const std::string&)>& tell) {
  std::vector<row> rows;
  std::map<std::string, std::size_t> at;
  for (test_case& each : with_floors(selection)) {
    at[each.key()] = rows.size();
    rows.push_back({std::move(each), {}, {}, {}, {}});
  }
  // The figure; nothing once the case has failed.
  const auto run = [&](row& which) -> std::optional<double> {
    if (!which.failure.empty()) return std::nullopt;
    try {
      const sample found = which.of.run(how);
      which.figures.push_back(figure_of(which.of, found));
      add(which.all, found);
      return which.figures.back();
    } catch (const std::exception& failure) {
      which.failure = failure.what();
      return std::nullopt;
    }
  };
  for (int pass = 0; pass < passes; ++pass) {
    for (row& each : rows) {
      tell(std::to_string(pass + 1) + "/" + std::to_string(passes) + " " + each.of.key());
      const auto floor = at.find(each.of.floor);
      if (floor == at.end()) {
        run(each);
        continue;
      }
      // In turn before it and behind it, lest a machine that warms up favour one of them.
      std::optional<double> base;
      if (pass % 2 == 0) base = run(rows[floor->second]);
      const std::optional<double> found = run(each);
      if (pass % 2 != 0) base = run(rows[floor->second]);
      if (base && found && *base > 0) each.ratios.push_back(*found / *base);
    }
  }
  return rows;
}

}  // namespace cyto::bench
