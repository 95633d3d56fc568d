#pragma once

#include <cuda.h>

#include <cstdint>

#include "lyre/base/cuda/device_side.cuh"

// Barriers in shared memory that count bytes, and the bulk copies that arrive at them (compute
// capability 9.0; PTX ISA, "mbarrier" and "cp.async.bulk").
namespace lyre::cuda {

__device__ __forceinline__ void initialise_barrier(uint64_t* barrier, uint32_t arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)),
               "r"(arrivals)
               : "memory");
}

/// After initialise_barrier(), by the same thread, before a barrier of the block.
__device__ __forceinline__ void publish_barriers() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

__device__ __forceinline__ void arrive(uint64_t* barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier))
               : "memory");
}

/// Who arrives for what a whole warp has read: one lane, after __syncwarp(). The sanitizer's
/// racecheck does not follow that and reports the next copy into the stage; with every lane
/// arriving, the same order said at greater length, it is content. So a racecheck is run with true
/// here.
inline constexpr bool kEveryLaneArrives = false;
inline constexpr int kWarpArrivals = kEveryLaneArrives ? kWarp : 1;

__device__ __forceinline__ void arrive_warp(uint64_t* barrier) {
  __syncwarp();
  if (kEveryLaneArrives || threadIdx.x % kWarp == 0) arrive(barrier);
}

/// Arrives, and lets the phase end only after `bytes` more have been copied.
__device__ __forceinline__ void arrive_expecting(uint64_t* barrier, uint32_t bytes) {
  asm volatile(
      "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)),
      "r"(bytes)
      : "memory");
}

/// Returns when the phase of this parity has ended.
__device__ __forceinline__ void wait_parity(uint64_t* barrier, uint32_t parity) {
  asm volatile(
      "{\n"
      ".reg .pred done;\n"
      "again:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
      "@done bra.uni end;\n"
      "bra.uni again;\n"
      "end:\n"
      "}" ::"r"(shared_address(barrier)),
      "r"(parity)
      : "memory");
}

/// From device memory to shared memory; both, and `bytes`, multiples of 16.
__device__ __forceinline__ void copy_bulk(void* to, const void* from, uint32_t bytes,
                                          uint64_t* barrier) {
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::
          "r"(shared_address(to)),
      "l"(from), "r"(bytes), "r"(shared_address(barrier))
      : "memory");
}

/// The box at (row, line) of a tensor map (base/cuda/tensor_map.h); one thread. The map lies in
/// constant memory: a __grid_constant__ parameter.
__device__ __forceinline__ void copy_box(void* to, const CUtensorMap* map, int row, int line,
                                         uint64_t* barrier) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], "
      "[%1, {%2, %3, %4}], [%5];" ::"r"(shared_address(to)),
      "l"(map), "r"(0), "r"(row), "r"(line), "r"(shared_address(barrier))
      : "memory");
}

/// The same of what is read once: it leaves the L2 cache first.
__device__ __forceinline__ void copy_box_once(void* to, const CUtensorMap* map, int row, int line,
                                              uint64_t* barrier) {
  asm volatile(
      "{\n"
      ".reg .b64 policy;\n"
      "createpolicy.fractional.L2::evict_first.b64 policy, 1.0;\n"
      "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes"
      ".L2::cache_hint [%0], [%1, {%2, %3, %4}], [%5], policy;\n"
      "}" ::"r"(shared_address(to)),
      "l"(map), "r"(0), "r"(row), "r"(line), "r"(shared_address(barrier))
      : "memory");
}

}  // namespace lyre::cuda
