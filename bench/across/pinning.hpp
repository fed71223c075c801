// Which cores two processes are measured on.
#pragma once

namespace cyto::bench {

struct cores {
  int near = -1;  // -1: wherever the kernel likes.
  int far = -1;
};

// Two of the cores this process may use, on different physical ones if there are such.
cores pinned_cores();

}  // namespace cyto::bench
