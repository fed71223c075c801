#include <cyto/cyto.hpp>

#include "wrapped_generated.h"

int main() {
  flatbuffers::FlatBufferBuilder builder;
  builder.Finish(consumer::CreateWrapped(builder, builder.CreateString("from outside")));
  return builder.GetSize() > 0 ? 0 : 1;
}
