# The warnings of cyto's own code. Whoever only uses cyto never sees them; the presets make them
# errors by CMAKE_COMPILE_WARNING_AS_ERROR.
add_library(cyto_warnings INTERFACE)
if(PROJECT_IS_TOP_LEVEL)
  target_compile_options(cyto_warnings INTERFACE
    -Wall -Wextra -Wpedantic
    -Wshadow -Wconversion -Wsign-conversion -Wdouble-promotion -Wformat=2
    -Wold-style-cast -Wcast-align -Wcast-qual
    -Wnon-virtual-dtor -Woverloaded-virtual -Wextra-semi
    -Wimplicit-fallthrough -Wundef -Wunused -Wmisleading-indentation)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # -Wtsan says where ThreadSanitizer would not understand a fence. -Wrestrict of gcc 12 sees
    # overlaps in `"text" + std::string` that are not there (gcc bug 105651).
    target_compile_options(cyto_warnings INTERFACE
      -Wduplicated-cond -Wduplicated-branches -Wlogical-op -Wtsan -Wno-restrict)
  endif()
endif()
