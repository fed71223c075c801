// Prints what it is sent, read where it lies, until the sender has left.
#include <chrono>
#include <cstdio>
#include <cyto/cyto.hpp>

#include "tick_generated.h"

int main() {
  auto feed = cyto::open("feed").receiver<hello::Tick>();
  while (feed.is_open()) {
    for (const hello::Tick& tick : feed.wait(std::chrono::seconds(1))) {
      std::printf("%u %s\n", tick.number(), tick.text()->c_str());
    }
  }
}
