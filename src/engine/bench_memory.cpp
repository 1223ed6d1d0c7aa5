// How much memory this process takes for one request.
// Before: bench.cpp, before anything else is open.   After: the kernel's account in /proc/self.
#include <algorithm>
#include <fstream>

#include "core/check.h"
#include "engine/bench_stages.h"
#include "engine/probe_pictures.h"
#include "engine/probe_requests.h"

namespace qwenvl {
namespace {

// A line "VmHWM:   123 kB" of /proc/self/status, in bytes; 0 when it is not there.
std::int64_t own_status(const std::string& key) {
  std::ifstream file("/proc/self/status");
  for (std::string name; file >> name;) {
    std::int64_t kilobytes = 0;
    if (name == key + ":" && file >> kilobytes) return kilobytes << 10;
    file.clear();
    std::string rest;
    std::getline(file, rest);
  }
  return 0;
}

// The peak starts again from what is resident now.
void forget_peak() {
  std::ofstream file("/proc/self/clear_refs");
  file << "5";
}

}  // namespace

MemoryBench measure_memory(const BenchOptions& options) {
  MemoryBench memory;
  if (own_status("VmHWM") == 0) return memory;  // another system: nothing is told
  forget_peak();
  Engine engine = Engine::open(options.engine);
  const Picture picture = synthetic_picture(512, 512, 3);
  const int n_answer = options.n_answer_tokens;
  Request request = picture_request(picture, words_of(engine, 32), n_answer);
  const int missing =
      options.n_memory_tokens - n_answer - static_cast<int>(engine.prompt_ids(request).size());
  if (missing > 0) request = picture_request(picture, words_of(engine, 32 + missing), n_answer);

  EventStream stream = engine.submit(request);
  for (Event event; stream.next(event);) {  // every layer of the tower, every chunk, every token
    memory.anonymous_bytes = std::max(memory.anonymous_bytes, own_status("RssAnon"));
    if (event.kind == Event::Kind::finished)
      memory.n_tokens = event.usage.prompt_tokens + event.usage.completion_tokens;
  }
  memory.peak_bytes = own_status("VmHWM");
  memory.is_measured = true;
  return memory;
}

}  // namespace qwenvl
