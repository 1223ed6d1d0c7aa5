// The pool's promises: every index once, nested and concurrent calls, exceptions, few and many.
#include "core/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include "core/check.h"

namespace qwenvl {
namespace {

TEST(ThreadPool, CallsTheBodyOnceForEveryIndex) {
  for (int n_threads : {1, 2, 3, 8}) {
    ThreadPool pool(n_threads);
    for (std::int64_t n : {0, 1, 2, 7, 63, 64, 1000, 4097}) {
      std::vector<std::atomic<int>> counts(static_cast<std::size_t>(n));
      pool.parallel_for(n, [&](std::int64_t i, int) { counts[static_cast<std::size_t>(i)]++; });
      for (std::int64_t i = 0; i < n; ++i) {
        ASSERT_EQ(counts[static_cast<std::size_t>(i)], 1) << i << " of " << n << ", " << n_threads;
      }
    }
  }
}

TEST(ThreadPool, ThreadNumbersStayInRangeAndNeverOverlap) {
  ThreadPool pool(4);
  std::vector<std::atomic<int>> busy(4);
  std::atomic<int> n_wrong{0};
  pool.parallel_for(2000, [&](std::int64_t, int thread) {
    if (thread < 0 || thread >= 4 || busy[static_cast<std::size_t>(thread)].exchange(1) != 0)
      n_wrong++;
    busy[static_cast<std::size_t>(thread) % 4] = 0;
  });
  EXPECT_EQ(n_wrong, 0);
  EXPECT_EQ(pool.n_threads(), 4);
}

TEST(ThreadPool, ResultsWrittenWithoutLocksAreVisibleAfterTheCall) {
  ThreadPool pool(4);
  std::vector<std::int64_t> values(512);
  for (std::int64_t round = 0; round < 500; ++round) {
    pool.parallel_for(
        512, [&](std::int64_t i, int) { values[static_cast<std::size_t>(i)] = i + round; });
    for (std::int64_t i = 0; i < 512; ++i)
      ASSERT_EQ(values[static_cast<std::size_t>(i)], i + round);
  }
}

TEST(ThreadPool, NestedCallsRunInPlace) {
  ThreadPool pool(3);
  std::atomic<std::int64_t> sum{0};
  std::atomic<int> n_moved{0};
  pool.parallel_for(20, [&](std::int64_t, int outer) {
    pool.parallel_for(10, [&](std::int64_t i, int inner) {
      sum += i;
      if (inner != outer) n_moved++;
    });
  });
  EXPECT_EQ(sum, 20 * 45);
  EXPECT_EQ(n_moved, 0);
}

TEST(ThreadPool, CallsFromSeveralThreadsAreServedOneAfterTheOther) {
  ThreadPool pool(3);
  std::atomic<int> n_inside{0}, n_overlaps{0};
  std::atomic<std::int64_t> n_done{0};
  std::mutex mutex;
  std::set<int> callers_inside;
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&, caller] {
      for (int round = 0; round < 50; ++round) {
        pool.parallel_for(16, [&](std::int64_t, int) {
          {
            const std::lock_guard lock(mutex);
            callers_inside.insert(caller);
            if (callers_inside.size() > 1) n_overlaps++;
            n_inside++;
          }
          n_done++;
          const std::lock_guard lock(mutex);
          if (--n_inside == 0) callers_inside.clear();
        });
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(n_done, 4 * 50 * 16);
  EXPECT_EQ(n_overlaps, 0);
}

TEST(ThreadPool, PoolsCanBeUsedInsideEachOther) {
  ThreadPool outer(2), inner(2);
  std::atomic<int> n{0};
  outer.parallel_for(
      8, [&](std::int64_t, int) { inner.parallel_for(8, [&](std::int64_t, int) { n++; }); });
  EXPECT_EQ(n, 64);
}

TEST(ThreadPool, AnExceptionReachesTheCallerAndThePoolLivesOn) {
  ThreadPool pool(4);
  for (int round = 0; round < 20; ++round) {
    EXPECT_THROW(pool.parallel_for(100,
                                   [](std::int64_t i, int) {
                                     if (i == 37) throw std::runtime_error("thirty-seven");
                                   }),
                 std::runtime_error);
    std::atomic<int> n{0};
    pool.parallel_for(100, [&](std::int64_t, int) { n++; });
    EXPECT_EQ(n, 100);
  }
}

TEST(ThreadPool, AnExceptionOfANestedCallReachesTheOuterCaller) {
  ThreadPool pool(2);
  const auto throws = [&] {
    pool.parallel_for(4, [&](std::int64_t, int) {
      pool.parallel_for(1, [](std::int64_t, int) { throw std::runtime_error("nested"); });
    });
  };
  EXPECT_THROW(throws(), std::runtime_error);
}

TEST(ThreadPool, StartsAndStopsWithoutWork) {
  for (int round = 0; round < 50; ++round) ThreadPool pool(3);
}

TEST(ThreadPool, RefusesFewerThanOneThread) { EXPECT_THROW(ThreadPool pool(0), Error); }

TEST(ThreadPool, CountsAtLeastOneCore) { EXPECT_GE(available_cores(), 1); }

}  // namespace
}  // namespace qwenvl
