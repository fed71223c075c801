// `cyto trace` beside the main job: what was recorded is judged, whoever is killed meanwhile.
#include "e2e/job.hpp"

namespace cyto::test {
namespace {

class Trace : public job_test {
 protected:
  // The job's topology with so much memory for traces.
  std::filesystem::path topology_with(const std::string& trace_bytes) const {
    const auto path = in_dir("traced.toml");
    write_file(path,
               read_file(revdeps_topology) + "\n[memory]\ntrace_bytes = \"" + trace_bytes + "\"\n");
    return path;
  }
  arguments traced_job(const std::filesystem::path& input, const arguments& more = {}) const {
    // Room for all that can be noted while this test's reader is kept from running.
    return arguments{
               "run",       topology_with("16MiB"), "--input", input, "--name", name(), "--output",
               table_path()} +
           tiny_lanes + more;
  }
  held_job start_held_job() const {
    return start_held([this](const auto& input) { return traced_job(input); });
  }

  process start_trace(const std::string& format = "jsonl") const {
    return start({"trace", name(), "--seconds", "90", "--format", format},
                 {.stdout_path = in_dir("trace")});
  }
  json wait_for_tracing(process& job, bool on) const {
    return wait_for_status(
        job, [on](const json& document) { return document.at("tracing").get<bool>() == on; });
  }
  void let_run(const held_job& held) { signal_all(parsers_in(held.workers), SIGCONT); }

  // The verdict on what was recorded.
  json judge() const {
    const outcome end = cyto({"trace", "--check", in_dir("trace"), "--window", "--json"});
    EXPECT_EQ(end.exit_code, 0) << end.out << end.err;
    return json::parse(end.out);
  }
};

TEST_F(Trace, OfARunningJobIsFoundGood) {
  held_job held = start_held_job();
  process trace = start_trace();
  wait_for_tracing(held.system, true);
  let_run(held);
  EXPECT_EQ(held.system.wait().exit_code, 0);
  const outcome end = trace.wait();  // It ends with the system.
  EXPECT_EQ(end.exit_code, 0) << end.err;
  EXPECT_EQ(end.err, "");
  const json verdict = judge();
  EXPECT_TRUE(verdict.at("good").get<bool>());
  EXPECT_GT(verdict.at("delivered").get<int>(), 10'000);
  EXPECT_GT(verdict.at("turns").get<int>(), 100);
  expect_table_of(held.input);
}

TEST_F(Trace, OfAJobWhoseWorkersAreKilledIsFoundGood) {
  held_job held = start_held([this](const auto& input) {
    return traced_job(input, {"--chaos", kill_every(20) + ",seed=11"});
  });
  process trace = start_trace();
  wait_for_tracing(held.system, true);
  // Who was stopped may have been killed already.
  for (const process_ref& each : parsers_in(held.workers)) each.send_signal(SIGCONT);
  EXPECT_EQ(held.system.wait().exit_code, 0);
  const outcome end = trace.wait();
  EXPECT_EQ(end.exit_code, 0) << end.err;
  const json verdict = judge();
  EXPECT_GT(verdict.at("delivered").get<int>(), 1'000);
  EXPECT_NE(read_file(in_dir("trace")).find(R"("event":"crash")"), std::string::npos);
  expect_table_of(held.input);
}

TEST_F(Trace, WithLittleMemoryTellsWhatItHasMissedAndTheRestIsFoundGood) {
  held_job held = start_held([this](const auto& input) {
    return arguments{"run",      topology_with("4KiB"), "--input", input, "--name", name(),
                     "--output", table_path()} +
           tiny_lanes;
  });
  process trace = start_trace();
  wait_for_tracing(held.system, true);
  trace.send_signal(SIGSTOP);
  let_run(held);
  held.system.wait_for(200ms);
  trace.send_signal(SIGCONT);
  EXPECT_EQ(held.system.wait().exit_code, 0);
  const outcome end = trace.wait();
  EXPECT_EQ(end.exit_code, 4);
  EXPECT_NE(end.err.find("are missing"), std::string::npos) << end.err;
  EXPECT_TRUE(judge().at("good").get<bool>());
}

TEST_F(Trace, IsSwitchedOffWhenTheLastReaderIsKilled) {
  held_job held = start_held_job();
  process first = start_trace();
  wait_for_tracing(held.system, true);
  process second = start({"trace", name(), "--seconds", "90"}, {.stdout_path = in_dir("other")});
  // That it has been let in cannot be seen; that the supervisor counts it is shown by the end.
  first.send_signal(SIGKILL);
  EXPECT_EQ(first.wait().signal, SIGKILL);
  second.send_signal(SIGKILL);
  EXPECT_EQ(second.wait().signal, SIGKILL);
  wait_for_tracing(held.system, false);
  let_run(held);
  EXPECT_EQ(held.system.wait().exit_code, 0);
  expect_table_of(held.input);
}

TEST_F(Trace, EndsWithItsSupervisorAndTheNextOneBeginsWithoutIt) {
  held_job held = start_held_job();
  process trace = start_trace();
  wait_for_tracing(held.system, true);
  held.system.send_signal(SIGKILL);
  EXPECT_EQ(held.system.wait().signal, SIGKILL);
  const outcome end = trace.wait();
  EXPECT_EQ(end.exit_code, 4);
  EXPECT_NE(end.err.find("its supervisor is gone"), std::string::npos) << end.err;
  const outcome refused = cyto({"trace", name(), "--seconds", "1"});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_NE(refused.err.find("nobody supervises it"), std::string::npos) << refused.err;
  process next = start(traced_job(held.input));
  wait_for_status(next, [&](const json& document) {
    return is_supervised_by(next, document) && !document.at("tracing").get<bool>();
  });
  let_run(held);
  EXPECT_EQ(next.wait().exit_code, 0);
  expect_table_of(held.input);
}

TEST_F(Trace, IsWrittenWhenItIsInterrupted) {
  held_job held = start_held_job();
  process trace = start_trace("chrome");
  wait_for_tracing(held.system, true);
  trace.send_signal(SIGINT);
  EXPECT_EQ(trace.wait().exit_code, 130);
  EXPECT_TRUE(json::parse(read_file(in_dir("trace"))).contains("traceEvents"));
  let_run(held);
  EXPECT_EQ(held.system.wait().exit_code, 0);
}

TEST_F(Trace, AsAGraphShowsWhoSendsToWhom) {
  held_job held = start_held_job();
  process trace = start_trace("dot");
  wait_for_tracing(held.system, true);
  let_run(held);
  EXPECT_EQ(held.system.wait().exit_code, 0);
  EXPECT_EQ(trace.wait().exit_code, 0);
  const std::string graph = read_file(in_dir("trace"));
  EXPECT_NE(graph.find(R"("source/0" -> "parser/1" [label=")"), std::string::npos) << graph;
  EXPECT_NE(graph.find(R"("parser/0" -> "counter/1" [label=")"), std::string::npos) << graph;
  EXPECT_EQ(graph.find("color=red"), std::string::npos) << graph;
}

TEST_F(Trace, AsAPictureIsDrawnByGraphviz) {
  held_job held = start_held_job();
  process trace = start_trace("svg");
  wait_for_tracing(held.system, true);
  let_run(held);
  EXPECT_EQ(held.system.wait().exit_code, 0);
  const outcome drawn = trace.wait();
  EXPECT_EQ(drawn.exit_code, 0) << drawn.err;
  const std::string picture = read_file(in_dir("trace"));
  EXPECT_NE(picture.find("<svg"), std::string::npos);
  EXPECT_NE(picture.find("source/0&#45;&gt;parser/1"), std::string::npos) << picture;
}

TEST_F(Trace, AsAPictureIsRefusedWhereGraphvizIsNot) {
  held_job held = start_held_job();
  process_options nowhere;
  nowhere.env.emplace_back("PATH", in_dir("").string());
  const outcome refused = cyto({"trace", name(), "--format", "svg"}, nowhere);
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_NE(refused.err.find("there is no program 'dot'"), std::string::npos) << refused.err;
  EXPECT_EQ(refused.out, "");
  let_run(held);
  EXPECT_EQ(held.system.wait().exit_code, 0);
}

TEST_F(Trace, OfASystemWithoutMemoryForItIsRefused) {
  held_job held = start_held([this](const auto& input) {
    return arguments{"run",  topology_with("0"), "--input",   input, "--name",
                     name(), "--output",         table_path()} +
           tiny_lanes;
  });
  const outcome refused = cyto({"trace", name()});
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_NE(refused.err.find("raise trace_bytes in [memory]"), std::string::npos) << refused.err;
  let_run(held);
  EXPECT_EQ(held.system.wait().exit_code, 0);
}

TEST_F(Trace, IsRefusedInWords) {
  const auto refuses = [this](const arguments& words, int code, const std::string& text) {
    const outcome end = cyto(arguments{"trace"} + words);
    EXPECT_EQ(end.exit_code, code) << end.err;
    EXPECT_NE(end.err.find(text), std::string::npos) << end.err;
    EXPECT_EQ(end.out, "");
  };
  refuses({name()}, 3, name());
  refuses({name(), "--seconds", "0"}, 2, "--seconds");
  refuses({name(), "--format", "xml"}, 2, "--format");
  refuses({"--check", "-", "--seconds", "1"}, 2, "excludes");
  refuses({name(), "--window"}, 2, "--check");
}

}  // namespace
}  // namespace cyto::test
