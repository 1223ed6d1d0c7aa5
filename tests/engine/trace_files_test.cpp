#include "engine/scheduling/trace_files.h"

#include <cstdlib>
#include <cstring>

#include "engine/tiny_engine.h"

namespace qwenvl {
namespace {

// NumPy format 1.0: magic, version, header length (2 bytes), header, data.
void check_npy(const std::string& bytes, const std::string& shape, std::size_t n_floats) {
  ASSERT_GE(bytes.size(), 10u);
  EXPECT_EQ(bytes.substr(0, 8), std::string("\x93NUMPY\x01\x00", 8));
  const std::size_t n_header =
      static_cast<unsigned char>(bytes[8]) | static_cast<unsigned char>(bytes[9]) << 8;
  EXPECT_EQ((10 + n_header) % 64, 0u);
  const std::string header = bytes.substr(10, n_header);
  EXPECT_EQ(header.back(), '\n');
  EXPECT_TRUE(contains(header, "'descr': '<f4'"));
  EXPECT_TRUE(contains(header, "'fortran_order': False"));
  EXPECT_TRUE(contains(header, "'shape': " + shape));
  EXPECT_EQ(bytes.size(), 10 + n_header + 4 * n_floats);
}

TEST(TraceFiles, HoldFloat32RowsWhateverTheTensorHolds) {
  const TemporaryFolder folder;
  const Trace trace = trace_to_folder((folder.path() / "made" / "here").string());
  float values[6] = {1, 2, 3, 4, 5, -6.5f};
  bf16 rounded[6];
  for (int i = 0; i < 6; ++i) rounded[i] = to_bf16(values[i]);
  trace("first", 0, Tensor(values, DType::f32, {2, 3}));
  trace("second", 7, Tensor(rounded, DType::bf16, {3, 2}));
  const std::string first = file_bytes((folder.path() / "made/here/000000_first_0.npy").string());
  const std::string second = file_bytes((folder.path() / "made/here/000001_second_7.npy").string());
  check_npy(first, "(2, 3)", 6);
  check_npy(second, "(3, 2)", 6);
  EXPECT_EQ(std::memcmp(first.data() + first.size() - 24, values, 24), 0);
  EXPECT_EQ(std::memcmp(second.data() + second.size() - 24, values, 24), 0);
}

TEST(TraceFiles, AFolderThatCannotBeMadeIsAnError) {
  EXPECT_TRUE(contains(error_of([] { trace_to_folder("/proc/no/such"); }),
                       "device: QWENVL_TRACE: cannot create"));
}

TEST(TraceFiles, AFolderThatDisappearsFailsTheRequestAndNotTheEngine) {
  const TemporaryFolder folder;
  const std::string path = (folder.path() / "trace").string();
  ::setenv("QWENVL_TRACE", path.c_str(), 1);
  Engine engine = Engine::open(tiny_options());
  ::unsetenv("QWENVL_TRACE");
  const Answer answer = collect(engine.submit(ask_about({"gray.png"}, "Trace", 2)));
  EXPECT_EQ(answer.usage.completion_tokens, 2);
  EXPECT_TRUE(std::filesystem::exists(path + "/000000_vision.patch_embed_0.npy"));

  std::filesystem::remove_all(path);
  std::vector<EventStream> streams;
  for (const char* text : {"One", "Two", "Three"}) streams.push_back(engine.submit(ask(text, 2)));
  for (EventStream& stream : streams) {
    EXPECT_TRUE(contains(error_of([&] { collect(std::move(stream)); }),
                         "device: QWENVL_TRACE: cannot write"));
  }
  std::filesystem::create_directories(path);
  EXPECT_EQ(error_of_request(engine, ask("Four", 2)), "");
}

}  // namespace
}  // namespace qwenvl
