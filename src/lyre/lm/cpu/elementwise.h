#pragma once

#include <cstdint>

namespace lyre::cpu {

/// 1 / sqrt(mean(x^2) + eps) of x (n,).
float inverse_rms(const float* x, int64_t n, float eps);

/// Rotary embedding of one head, head (2 half,): element i turns with i + half. cosines, sines
/// (half,). Everything is multiplied by `scale`.
void rotate_head(float* head, const float* cosines, const float* sines, int64_t half, float scale);

/// out = silu(scale * gate) * (scale * up), all (n,).
void silu_multiply(const float* gate, const float* up, float scale, float* out, int64_t n);

/// out = scale * x, all (n,).
void scale_row(const float* x, float scale, float* out, int64_t n);

/// hidden += x; weighted = hidden * norm_weight: the residual stream and what the next RMSNorm
/// makes of it but for its 1/rms, which the product that follows multiplies in. All (n,).
void add_residual(const float* x, const float* norm_weight, float* hidden, float* weighted,
                  int64_t n);

}  // namespace lyre::cpu
