// The README's first screen: two programs, one name, no supervisor; whoever comes first.
#include "e2e/job.hpp"

namespace cyto::test {
namespace {

class Hello : public testing::Test {
 protected:
  process start(const char* program) const {
    process_options options;
    options.env.push_back(runtime_.env());
    return process(arguments{bin_dir / program}, std::move(options));
  }
  void expect_greeting(const outcome& sent, const outcome& received) const {
    EXPECT_EQ(sent.exit_code, 0) << sent.err;
    EXPECT_EQ(received.exit_code, 0) << received.err;
    EXPECT_EQ(received.out, "1 hello\n2 hello\n3 hello\n");
    EXPECT_EQ(runtime_.leftovers(), std::vector<std::string>{});
  }
  // Whoever holds the pair's memory has arrived. Other tests have pairs of that name as well.
  static void wait_until_it_is_there(process& one) {
    const auto is_it = [&one](const memory_holder& each) { return each.pid == one.pid(); };
    for (bool is_there = false; !is_there && !one.wait_for(1ms);) {
      const auto holders = holders_of("feed");
      is_there = std::any_of(holders.begin(), holders.end(), is_it);
    }
  }

  runtime_dir runtime_;
};

TEST_F(Hello, ArrivesWhenTheReceiverIsFirst) {
  process receiver = start("hello_receive");
  wait_until_it_is_there(receiver);
  process sender = start("hello_send");
  const outcome sent = sender.wait();
  expect_greeting(sent, receiver.wait());
}

TEST_F(Hello, ArrivesWhenTheSenderIsFirst) {
  process sender = start("hello_send");
  wait_until_it_is_there(sender);
  process receiver = start("hello_receive");
  const outcome received = receiver.wait();
  expect_greeting(sender.wait(), received);
}

TEST_F(Hello, ArrivesWhenBothComeAtOnce) {
  for (int round = 0; round < 10; ++round) {
    process sender = start("hello_send");
    process receiver = start("hello_receive");
    const outcome received = receiver.wait();
    expect_greeting(sender.wait(), received);
  }
}

}  // namespace
}  // namespace cyto::test
