#include "engine/scheduling/kv_cache.h"

#include <cstring>

#include "engine/tiny_engine.h"

namespace qwenvl {
namespace {

KvLayout small_layout() { return {1, 1, 4, DType::f32}; }

TEST(KvCache, TakesAPageWhenATokenNeedsItAndNotBefore) {
  KvPool pool(small_layout(), 4);
  KvCache cache(pool);
  cache.prepare(0);
  EXPECT_EQ(pool.n_in_use(), 0);
  cache.prepare(64);
  cache.advance(64);
  EXPECT_EQ(pool.n_in_use(), 1);
  cache.prepare(1);
  EXPECT_EQ(pool.n_in_use(), 2);
  cache.prepare(1);  // the same token again, as a step that is repeated does
  EXPECT_EQ(pool.n_in_use(), 2);
  EXPECT_EQ(cache.n_tokens(), 64);
}

TEST(KvCache, ForksShareFullPagesAndCopyTheOneTheyWriteTo) {
  KvPool pool(small_layout(), 8);
  KvCache first(pool);
  first.prepare(70);
  first.advance(70);
  std::memset(first.pages()[1], 7, static_cast<std::size_t>(pool.layout().page_bytes()));
  KvCache second = first.fork();
  EXPECT_EQ(pool.n_in_use(), 2);
  EXPECT_EQ(second.pages(), first.pages());

  second.prepare(1);
  EXPECT_EQ(pool.n_in_use(), 3);
  EXPECT_EQ(second.pages()[0], first.pages()[0]);
  ASSERT_NE(second.pages()[1], first.pages()[1]);
  EXPECT_EQ(std::memcmp(second.pages()[1], first.pages()[1],
                        static_cast<std::size_t>(pool.layout().page_bytes())),
            0);
  std::memset(second.pages()[1], 9, 16);
  EXPECT_EQ(std::to_integer<int>(*first.pages()[1]), 7);

  first.prepare(1);  // the last owner writes in place
  EXPECT_EQ(pool.n_in_use(), 3);
}

TEST(KvCache, GivesPagesBackWhenItsLastOwnerGoes) {
  KvPool pool(small_layout(), 3);
  {
    KvCache first(pool);
    first.prepare(130);
    first.advance(130);
    KvCache second = first.fork();
    first.clear();
    EXPECT_EQ(first.n_tokens(), 0);
    EXPECT_EQ(pool.n_in_use(), 3);
    KvCache third = std::move(second);
    EXPECT_EQ(third.n_tokens(), 130);
    EXPECT_EQ(second.n_tokens(), 0);
  }
  EXPECT_EQ(pool.n_in_use(), 0);
  EXPECT_EQ(pool.n_allocated(), 3);
  KvCache again(pool);
  again.prepare(192);
  EXPECT_EQ(pool.n_allocated(), 3);
}

TEST(KvCache, AssignmentReleasesTheOldPagesInTheEnd) {
  KvPool pool(small_layout(), 4);
  {
    KvCache first(pool), second(pool);
    first.prepare(64);
    second.prepare(128);
    first = std::move(second);
    EXPECT_EQ(first.pages().size(), 2u);
  }
  EXPECT_EQ(pool.n_in_use(), 0);
}

TEST(KvCache, TheLimitIsAnErrorThatLosesNothing) {
  KvPool pool(small_layout(), 2);
  {
    KvCache cache(pool);
    EXPECT_TRUE(contains(error_of([&] { cache.prepare(129); }),
                         "out_of_memory: key/value cache: all 2 pages of 64 tokens are in use"));
    EXPECT_EQ(cache.pages().size(), 2u);
    cache.prepare(128);
    EXPECT_EQ(pool.n_in_use(), 2);
  }
  EXPECT_EQ(pool.n_in_use(), 0);
}

}  // namespace
}  // namespace qwenvl
