// Scratch memory: aligned, given back in reverse order, reused.
#include "backend/workspace.h"

#include <gtest/gtest.h>

namespace qwenvl {
namespace {

TEST(Workspace, what_is_taken_is_aligned_and_does_not_overlap) {
  Workspace workspace;
  const Tensor a = workspace.take(DType::bf16, {3, 5}), b = workspace.take(DType::f32, {1, 1});
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(a.data) % 64, 0u);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(b.data) % 64, 0u);
  EXPECT_GE(static_cast<std::byte*>(b.data) - static_cast<std::byte*>(a.data), 30);
}

TEST(Workspace, a_scope_gives_its_memory_back) {
  Workspace workspace;
  workspace.take(DType::f32, {10});
  void* first = nullptr;
  {
    const Workspace::Scope scope(workspace);
    first = workspace.take(DType::f32, {1000}).data;
  }
  EXPECT_EQ(workspace.take(DType::f32, {1000}).data, first);
}

TEST(Workspace, tensors_stay_where_they_are_when_the_workspace_grows) {
  Workspace workspace;
  const Tensor small = workspace.take(DType::f32, {16});
  small.as<float>()[7] = 42;
  for (int i = 0; i < 5; ++i) {
    const Tensor large = workspace.take(DType::f32, {3 << 20});
    large.as<float>()[(3 << 20) - 1] = 1;
  }
  EXPECT_EQ(small.as<float>()[7], 42);
  EXPECT_GE(workspace.peak_bytes(), std::size_t{5} * (12u << 20));
}

TEST(Workspace, trimming_keeps_what_is_in_use) {
  Workspace workspace;
  const Tensor kept = workspace.take(DType::f32, {4 << 20});
  kept.as<float>()[(4 << 20) - 1] = 42;
  {
    const Workspace::Scope scope(workspace);
    workspace.take(DType::f32, {8 << 20});
  }
  workspace.trim();
  EXPECT_EQ(kept.as<float>()[(4 << 20) - 1], 42);
  workspace.take(DType::f32, {8 << 20}).as<float>()[(8 << 20) - 1] = 1;
}

TEST(Workspace, more_memory_than_there_is_is_refused_with_an_error) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers end the program instead";
#endif
  Workspace workspace;
  try {
    workspace.take(DType::f32, {std::int64_t{1} << 50});
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::out_of_memory);
  }
}

}  // namespace
}  // namespace qwenvl
