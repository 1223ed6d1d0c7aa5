// How much memory this process takes for one request.
// Before: bench.cpp, before anything else is open.   After: the kernel's account in /proc/self.
#include <algorithm>
#include <fstream>

#include "core/check.h"
#include "engine/bench/bench_stages.h"
#include "engine/bench/probe_pictures.h"
#include "engine/bench/probe_requests.h"
#include "engine/machine.h"

namespace qwenvl {
namespace {

constexpr int kSide = 512;  // of the picture

// A picture and words that come to the prompt and answer asked for, and how many tokens these are.
Request sized_request(const BenchOptions& options, int& n_tokens) {
  const Engine engine = Engine::open(options.engine);
  const Picture picture = synthetic_picture(kSide, kSide, 3);
  const int n_answer = options.n_answer_tokens;
  Request request = picture_request(picture, words_of(engine, 32), n_answer);
  n_tokens = n_answer + static_cast<int>(engine.prompt_ids(request).size());
  if (const int missing = options.n_memory_tokens - n_tokens; missing > 0) {
    request = picture_request(picture, words_of(engine, 32 + missing), n_answer);
    n_tokens = n_answer + static_cast<int>(engine.prompt_ids(request).size());
  }
  return request;
}

// The peak starts again from what is resident now.
void forget_peak() {
  std::ofstream file("/proc/self/clear_refs");
  file << "5";
}

}  // namespace

MemoryBench measure_memory(const BenchOptions& options) {
  MemoryBench memory;
  if (own_memory_bytes("VmHWM") == 0) return memory;  // another system: nothing is told
  const Request request = sized_request(options, memory.n_tokens);
  PlannedRequest planned;
  planned.n_tokens = memory.n_tokens;
  planned.width = planned.height = kSide;
  memory.planned_bytes = plan_memory(options.engine, planned).peak();

  give_back_spare_memory();
  forget_peak();
  Engine engine = Engine::open(options.engine);
  EventStream stream = engine.submit(request);
  for (Event event; stream.next(event);) {  // every layer of the tower, every chunk, every token
    memory.anonymous_bytes = std::max(memory.anonymous_bytes, own_memory_bytes("RssAnon"));
  }
  memory.peak_bytes = own_memory_bytes("VmHWM");
  memory.is_measured = true;
  return memory;
}

}  // namespace qwenvl
