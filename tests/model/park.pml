/* cyto -- park.pml: parking and waking on a machine with store buffers (TSO).
 *
 * Producers 0,1 send N records each to consumer 2 (one lane each, CAP records).
 * A consumer with nothing to do and a producer with no room park on one futex
 * word each.  Workers may be killed before any step; what they stored before
 * still drains from the store buffer.  The supervisor recovers dead workers and
 * may itself be killed inside a recovery (it then begins it again).
 * The order of the record bodies is not the matter here: commit says it all.
 * Checked: nobody sleeps for ever (spin's invalid end states).
 *
 * Run:  spin -a park.pml && gcc -O2 -DSAFETY -DCOLLAPSE -DMEMLIM=6000 -o pan pan.c
 *       ./pan -m2000000
 * Bounds: -DN=2 -DCAP=1 -DCRASHES=1 (kills in all), -DONEP one producer only,
 *   -DLAZY the consumer publishes its head only before it parks, or by chance,
 *   -DDESC all sleep on descriptors: a ring is a datagram that stays in the
 *   sleeper's socket until it throws old ones away, which it does before it
 *   parks; the socket goes with its process
 * Holes (each must end in an invalid end state):
 *   -DNOFENCEP   the waker has no full fence between its store and "parked?"
 *   -DNOFENCEC   the sleeper has none between parked=1 and its second look
 *   -DNOCLEAR    the waker wakes but leaves the word at 1
 *   -DNORECHECK  no second look
 *   -DNOWAKE     recovery wakes nobody
 *   -DRECIF      recovery wakes only those whose word is 1
 *   -DNOPUB -DLAZY   the lazy head is not published before parking
 *   -DDESC -DDRAINLATE   old rings are thrown away after the second look
 */
#ifndef N
#define N 2
#endif
#ifndef CAP
#define CAP 1
#endif
#ifndef CRASHES
#define CRASHES 1
#endif
#ifdef ONEP
#define NPR 1
#else
#define NPR 2
#endif

/* memory words: commit of producer i: i; head of lane i: 2+i; parked of w: 4+w;
 * the consumer's committed head of lane i: 7+i (one commit; split over lanes) */
#define COM(i)  (i)
#define HD(i)   (2+(i))
#define PK(w)   (4+(w))
#define CH(i)   (7+(i))
byte mem[9];
chan sb[3] = [4] of { byte, byte };          /* store buffers */
bool asleep[3], dead[3];
#ifdef DESC
bool rung[3];                                /* a datagram is in the socket */
#endif
byte ncrash;

#define K           :: ncrash < CRASHES -> ncrash++; goto kill
#define ST(w,a,v)   atomic { if :: nfull(sb[w]) -> sb[w]!a,v K fi }
#define FENCE(w)    atomic { if :: empty(sb[w]) K fi }
#define LD(x,a)     atomic { if :: x = mem[a] K fi }
/* exchange: drains, then reads and writes in one */
#define XCHG(w,x,a,v) atomic { if :: empty(sb[w]) -> x = mem[a]; mem[a] = v K fi }
#ifdef DESC
#define DRAIN(w)    atomic { if :: rung[w] = 0 K fi }
#ifdef DRAINLATE
#define ARM(w)      skip
#define FWAIT(w)    DRAIN(w); atomic { if :: rung[w] K fi }
#else
#define ARM(w)      DRAIN(w)
#define FWAIT(w)    atomic { if :: rung[w] K fi }
#endif
#define FWAKE(w)    rung[w] = 1
#define GONE(w)     rung[w] = 0
#else
#define ARM(w)      skip
#define GONE(w)     asleep[w] = 0
/* kernel: compare and sleep in one; wake */
#define FWAIT(w)    atomic { if :: empty(sb[w]) -> if :: mem[PK(w)] == 1 -> asleep[w] = 1 \
                     :: else fi K fi }; atomic { if :: !asleep[w] K fi }
#define FWAKE(w)    asleep[w] = 0
#endif
#ifdef NOCLEAR
#define WAKE(w,x,y) LD(x,PK(y)); if :: x == 1 -> atomic { if :: FWAKE(y) K fi } :: else fi; x = 0
#else
#define WAKE(w,x,y) LD(x,PK(y)); if :: x == 1 -> XCHG(w,x,PK(y),0); \
     if :: x == 1 -> atomic { if :: FWAKE(y) K fi } :: else fi :: else fi; x = 0
#endif

proctype Prod(byte i) {
  byte n, h, x;
start:
  atomic { !dead[i] -> n = mem[COM(i)]; h = 0; x = 0 }
  ST(i, PK(i), 0);
  do
  :: n == N -> break
  :: n < N ->
     LD(h, HD(i));
     if :: n - h < CAP -> skip
        :: else ->                           /* no room: park */
           ARM(i); ST(i, PK(i), 1); FENCE(i);
           LD(h, HD(i));
           if :: n - h >= CAP -> FWAIT(i) :: else fi;
           ST(i, PK(i), 0);
           goto again
     fi;
     ST(i, COM(i), n+1);                     /* the commit */
     n++;
#ifndef NOFENCEP
     FENCE(i);
#endif
     WAKE(i, x, 2);
again: h = 0
  od;
  goto done;
kill:
  atomic { dead[i] = 1; GONE(i); n = 0; h = 0; x = 0; goto start }
done: skip
}

#define MORE   (mem[COM(0)] > h[0] || mem[COM(1)] > h[1])
proctype Cons() {
  byte h[2], i, x, y;
start:
  atomic { !dead[2] -> h[0] = mem[CH(0)]; h[1] = mem[CH(1)]; i = 0; x = 0; y = 0 }
  ST(2, PK(2), 0);
  do
  :: h[0] + h[1] == NPR*N -> break
  :: else ->
     LD(x, COM(0)); if :: x > h[0] -> i = 0; goto take :: else fi;
     LD(x, COM(1)); if :: x > h[1] -> i = 1; goto take :: else fi;
#if defined(LAZY) && !defined(NOPUB)
     i = 0; do :: i < NPR ->
       ST(2, HD(i), h[i]); FENCE(2); WAKE(2, x, i); i++ :: else -> break od; i = 0;
#endif
     ARM(2); ST(2, PK(2), 1);
#ifndef NOFENCEC
     FENCE(2);
#endif
     x = 0;
#ifndef NORECHECK
     LD(x, COM(0)); LD(y, COM(1));
     if :: x > h[0] || y > h[1] -> x = 1 :: else -> x = 0 fi; y = 0;
#endif
     if :: x == 0 -> FWAIT(2) :: else fi;
     ST(2, PK(2), 0);
     goto again;
take:
     ST(2, CH(i), h[i]+1);                   /* the consumer's commit */
     h[i]++; x = 0;
#ifdef LAZY
     if :: goto again :: skip fi;
#endif
     ST(2, HD(i), h[i]);
     FENCE(2);
     WAKE(2, x, i);
again: x = 0; y = 0
  od;
  /* leaving: publish, as recovery does */
  i = 0; do :: i < NPR -> ST(2, HD(i), h[i]); FENCE(2); WAKE(2, x, i); i++ :: else -> break od;
  goto done;
kill:
  atomic { dead[2] = 1; GONE(2); h[0] = 0; h[1] = 0; i = 0; x = 0; y = 0; goto start }
done: skip
}

#ifdef NOWAKE
#define RWAKE(y) skip
#else
#ifdef RECIF
#define RWAKE(y) LD(x,PK(y)); \
     if :: x == 1 -> XCHG(2,x,PK(y),0); atomic { if :: FWAKE(y) K fi } :: else fi
#else
#define RWAKE(y) atomic { if :: mem[PK(y)] = 0 K fi }; atomic { if :: FWAKE(y) K fi }
#endif
#endif

active proctype Sup() {                      /* only steps on the dead one's behalf */
  byte x;
end_s:
  do
  :: atomic { dead[0] && empty(sb[0]) -> x = 0 } RWAKE(2); dead[0] = 0
  :: atomic { dead[1] && empty(sb[1]) -> x = 0 } RWAKE(2); dead[1] = 0
  :: atomic { dead[2] && empty(sb[2]) -> x = 0 }
     atomic { if :: mem[HD(0)] = mem[CH(0)] K fi }; RWAKE(0);
#ifndef ONEP
     atomic { if :: mem[HD(1)] = mem[CH(1)] K fi }; RWAKE(1);
#endif
     dead[2] = 0
  od;
kill: x = 0; goto end_s                      /* a new supervisor begins again */
}

active proctype Drain() {
  byte a, v;
end_d:
  do
  :: atomic { sb[0]?a,v -> mem[a] = v; a = 0; v = 0 }
  :: atomic { sb[1]?a,v -> mem[a] = v; a = 0; v = 0 }
  :: atomic { sb[2]?a,v -> mem[a] = v; a = 0; v = 0 }
  od
}

init { atomic { run Prod(0);
#ifndef ONEP
  run Prod(1);
#endif
  run Cons() } }
