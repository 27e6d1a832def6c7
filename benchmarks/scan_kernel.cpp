// The fused scan in C++ with OpenMP: the yardstick for what a compiled kernel reaches on this CPU (bench_scan.py).
// The same algorithm as metst_core/scan_cpu.py, left to the compiler's vectoriser; N is a multiple of 8.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#pragma omp declare simd
static inline float fast_exp2(float x) {
  x = x < -126.f ? -126.f : x > 126.f ? 126.f : x;
  float rounded = x + 12582912.f;
  float f = x - (rounded - 12582912.f);
  float p = 1.535336200e-04f;
  p = p * f + 1.339887445e-03f;
  p = p * f + 9.618437358e-03f;
  p = p * f + 5.550332471e-02f;
  p = p * f + 2.402264791e-01f;
  p = p * f + 6.931472029e-01f;
  p = p * f + 1.f;
  int32_t bits, k;
  std::memcpy(&bits, &p, 4);
  std::memcpy(&k, &rounded, 4);
  bits += static_cast<int32_t>(static_cast<uint32_t>(k) << 23);
  std::memcpy(&p, &bits, 4);
  return p;
}

extern "C" void scan_forward(const float* u, const float* dt, const float* A2, const float* B, const float* C,
                             const float* D, float* y, long batch, long channels, long L, long N) {
#pragma omp parallel
  {
    std::vector<float> h(N);
#pragma omp for collapse(2) schedule(static)
    for (long b = 0; b < batch; b++)
      for (long c = 0; c < channels; c++) {
        const float *ur = u + (b * channels + c) * L, *dr = dt + (b * channels + c) * L, *a2 = A2 + c * N;
        float *yr = y + (b * channels + c) * L, *hp = h.data();
        for (long n = 0; n < N; n++) hp[n] = 0.f;
        for (long t = 0; t < L; t++) {
          const float d = dr[t], x = dr[t] * ur[t], *Bt = B + (b * L + t) * N, *Ct = C + (b * L + t) * N;
          float s = 0.f;
#pragma omp simd reduction(+ : s)
          for (long n = 0; n < N; n++) {
            hp[n] = fast_exp2(d * a2[n]) * hp[n] + x * Bt[n];
            s += hp[n] * Ct[n];
          }
          yr[t] = s + D[c] * ur[t];
        }
      }
  }
}

// dB and dC hold one part per task, `tasks` per batch entry; dA one per batch entry.
extern "C" void scan_backward(const float* u, const float* dt, const float* A, const float* A2, const float* B,
                              const float* C, const float* D, const float* dy, float* du, float* ddt, float* dA,
                              float* dB, float* dC, long batch, long channels, long L, long N, long tasks) {
#pragma omp parallel
  {
    std::vector<float> a(L * N), h((L + 1) * N), g(N);
#pragma omp for schedule(static)
    for (long k = 0; k < batch * tasks; k++) {
      const long b = k / tasks, j = k % tasks;
      for (long c = channels * j / tasks; c < channels * (j + 1) / tasks; c++) {
        const long row = (b * channels + c) * L;
        const float *Ar = A + c * N, *a2 = A2 + c * N;
        float *gp = g.data(), *dAr = dA + (b * channels + c) * N;
        for (long n = 0; n < N; n++) h[n] = gp[n] = dAr[n] = 0.f;
        for (long t = 0; t < L; t++) {
          const float d = dt[row + t], x = d * u[row + t], *Bt = B + (b * L + t) * N;
          float *at = a.data() + t * N, *before = h.data() + t * N, *now = before + N;
#pragma omp simd
          for (long n = 0; n < N; n++) {
            at[n] = fast_exp2(d * a2[n]);
            now[n] = at[n] * before[n] + x * Bt[n];
          }
        }
        for (long t = L - 1; t >= 0; t--) {
          const float d = dt[row + t], x = d * u[row + t], v = dy[row + t];
          const float *Bt = B + (b * L + t) * N, *Ct = C + (b * L + t) * N, *at = a.data() + t * N;
          const float *before = h.data() + t * N, *now = before + N;
          float *dBt = dB + (k * L + t) * N, *dCt = dC + (k * L + t) * N, r = 0.f, s = 0.f;
#pragma omp simd reduction(+ : r, s)
          for (long n = 0; n < N; n++) {
            float q = v * Ct[n] + gp[n];
            dCt[n] += v * now[n];
            dBt[n] += x * q;
            r += q * Bt[n];
            q *= at[n];
            gp[n] = q;
            const float p = q * before[n];
            dAr[n] += d * p;
            s += p * Ar[n];
          }
          du[row + t] = r * d + D[c] * v;
          ddt[row + t] = s + r * u[row + t];
        }
      }
    }
  }
}
