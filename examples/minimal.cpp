// The smallest program: minimal MODEL PICTURE QUESTION
#include <qwenvl/engine.h>

#include <iostream>

int main(int argc, char** argv) try {
  if (argc != 4) throw std::runtime_error("usage: minimal MODEL PICTURE QUESTION");
  auto engine = qwenvl::Engine::open({.model = argv[1]});
  qwenvl::Request request;
  request.messages = {{"user", {qwenvl::Part::picture(argv[2]), qwenvl::Part::words(argv[3])}}};
  request.sampling.do_sample = false;
  request.sampling.max_new_tokens = 64;
  auto stream = engine.submit(request);
  for (qwenvl::Event event; stream.next(event);) std::cout << event.text << std::flush;
  std::cout << "\n";
} catch (const std::exception& error) {
  std::cerr << "minimal: " << error.what() << "\n";
  return 1;
}
